import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import type {ControlPlane, ControlPlaneOptions} from '../../../src/lib/server/control-plane.ts'
import {sharedIfAsked} from '../../support/shared-state.ts'
import {startControlPlane} from '../../../src/lib/server/control-plane.ts'

/** `log`: its lines, without those about single workers and tasks. */
export type TestPlane = ControlPlane & {log: string[]}

/** A control plane on a free port, in memory by default. */
export async function startPlane(options: Partial<ControlPlaneOptions> = {}): Promise<TestPlane> {
  const log: string[] = []
  const plane = await startControlPlane({
    host: '127.0.0.1',
    port: 0,
    database: ':memory:',
    log: (line, _level, about) => void (about ?? (line.startsWith('Redis has ') || log.push(line))),
    ...sharedIfAsked(options),
    ...options,
  })
  return {...plane, log}
}

/** A folder that is deleted after the test. */
export async function scratch(): Promise<AsyncDisposable & {path: string; file(name: string): string}> {
  const path = await mkdtemp(join(tmpdir(), 'a2a-test-'))
  return {
    path,
    file: (name) => join(path, name),
    [Symbol.asyncDispose]: () => rm(path, {recursive: true, force: true}),
  }
}

/** Resolves with the first truthy value. Checks every few milliseconds, for at most ten seconds. */
export async function until<T>(look: () => T | Promise<T>): Promise<NonNullable<T>> {
  for (const end = Date.now() + 10_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 5))) {
    const found = await look()
    if (found) return found
  }

  throw new Error(`in vain: ${String(look)}`)
}
