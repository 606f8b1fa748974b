import {randomUUID} from 'node:crypto'
import {mkdtempSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import type {ControlPlaneOptions} from '../../src/lib/server/control-plane.ts'

/** Options of a control plane whose state is in the Redis at this address: of its own, or shared under a prefix. */
export const sharedState = (
  url: string,
  prefix = `{test-${randomUUID()}}:`,
  more: Partial<NonNullable<ControlPlaneOptions['shared']>> = {},
): Pick<ControlPlaneOptions, 'shared'> => ({
  shared: {
    url,
    prefix,
    folder: mkdtempSync(join(process.env['A2A_TEST_FOLDER'] ?? tmpdir(), 'replica-')),
    onDiverged: (reason) => {
      throw new Error(reason)
    },
    ...more,
  },
})

/**
 * With A2A_TEST_REDIS, control planes of tests keep their state in the Redis at that address, unless the test names a
 * database or a clock. So the same tests tell whether both engines do the same.
 */
export const sharedIfAsked = (options: Partial<ControlPlaneOptions>): Pick<ControlPlaneOptions, 'shared'> => {
  const url = process.env['A2A_TEST_REDIS']
  const isFree = options.database === undefined && options.shared === undefined && options.clock === undefined
  return url !== undefined && isFree ? sharedState(url) : {}
}
