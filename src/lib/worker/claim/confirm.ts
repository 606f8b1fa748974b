import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {isNotFound, RefusedError, retryAfterMs} from '../../client/http.ts'
import type {Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import {fullJitter} from '../../core/loop.ts'
import {requestSignal} from '../../core/request-signal.ts'
import {limits} from '../../protocol/limits.ts'
import type {Task} from '../../protocol/schemas.ts'

export type ConfirmOptions = {
  client: Pick<ControlPlaneClient, 'confirm'>
  workerId: string
  clock: Clock
  signal: AbortSignal
}

/** `lost`: the task is not ours any more. `late`: nobody knows, because no answer came in time. Each with the reason. */
export type Confirmation = 'confirmed' | {lost: string} | {late: string}

const pause = fullJitter(50, 1000)
/** Whether the answer says that the task is not ours. A refused token says nothing about the task. */
const isFinal = (error: unknown): boolean =>
  isNotFound(error) || (error instanceof RefusedError && [409, 410].includes(error.status))

/** The rest of the time is for ending what was begun, before the control plane gives the task away. */
const share = 0.6

/**
 * Confirms an assignment that arrived at `receivedAt` (monotonic ms), again and again until it is answered. Resolves
 * early enough that everything begun can end before the assignment lapses.
 */
export async function confirmAssignment(
  {id, attempt, confirm_ms: lapseMs = limits.confirm}: Pick<Task, 'id' | 'attempt' | 'confirm_ms'>,
  receivedAt: number,
  {client, workerId, clock, signal}: ConfirmOptions,
): Promise<Confirmation> {
  const deadline = receivedAt + lapseMs * share
  const left = () => deadline - clock.monotonic()
  for (let failures = 1; ; failures++) {
    try {
      using request = requestSignal(signal, Math.max(1, left()))
      await client.confirm(id, attempt, workerId, request.signal)
      return 'confirmed'
    } catch (error) {
      const reason = messageOf(error)
      if (signal.aborted) return {late: 'the worker is stopping'}
      if (isFinal(error)) return {lost: reason}
      const pauseMs = Math.max(pause(failures), retryAfterMs(error))
      if (left() <= pauseMs) return {late: `its assignment could not be confirmed in time: ${reason}`}
      await clock.sleep(pauseMs, signal)
    }
  }
}
