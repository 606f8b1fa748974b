import {statSync} from 'node:fs'
import type {Clock} from '../core/clock.ts'
import {formatBytes} from '../core/text/format-bytes.ts'
import type {RunRequest, StopReason} from './executor.ts'

const checkMs = 100

/**
 * Resolves with the reason to stop once a run has printed more than it may. The agent writes its files itself, so only
 * their size tells. Never resolves without a limit, or once aborted.
 */
export async function watchOutputSize(
  {maxOutputBytes = 0}: Pick<RunRequest, 'maxOutputBytes'>,
  output: readonly [path: string, from: number][],
  clock: Clock,
  signal: AbortSignal,
): Promise<StopReason> {
  const {promise: never} = Promise.withResolvers<StopReason>()
  if (maxOutputBytes === 0) return await never
  while (!signal.aborted) {
    const sizes = output.map(([path, from]) => sizeOf(path) - from)
    const printed = sizes.reduce((sum, size) => sum + size, 0)
    if (printed > maxOutputBytes) return tooMuch(maxOutputBytes)
    await clock.sleep(checkMs, signal)
  }

  return await never
}

const tooMuch = (maxBytes: number): StopReason => ({
  status: 'failed',
  error: `the task printed more than ${formatBytes(maxBytes)} (setting max_output_mb)`,
})

const sizeOf = (file: string) => statSync(file, {throwIfNoEntry: false})?.size ?? 0
