import {ExpectedError} from '../../core/errors.ts'
import type {Clock} from '../../core/clock.ts'
import {fullJitter} from '../../core/loop.ts'
import type {Task} from '../../protocol/schemas.ts'
import type {StoredInput, TaskInput} from '../../protocol/task-input.ts'
import type {InputSigner} from '../../signing/sign-input.ts'
import type {ControlPlaneClient} from '../control-plane.ts'
import {isTransient, RefusedError, retryAfterMs} from '../http.ts'

/** What became of an input, as far as it is known. `task`: the next task, if the task had ended. */
export type SentInput = {input: StoredInput; task?: Task | undefined}

export type SendOptions = {
  client: ControlPlaneClient
  clock: Clock
  signal: AbortSignal
  /** Signs the input. Undefined: it is sent unsigned. */
  sign: InputSigner | undefined
  /** How long to wait until its worker tells what became of it, in ms. */
  waitMs: number
}

const maxTries = 5
const pollMs = 250
const pause = fullJitter(300, 3000)

/**
 * Sends an input, and waits a while for what becomes of it. It is sent again if the answer was lost: its id makes sure that
 * the task gets it once. Throws ExpectedError (1) if the server or the worker refuses it, or if the server has no inputs.
 */
export async function sendInput(taskId: string, input: TaskInput, options: SendOptions): Promise<SentInput> {
  const {client, clock, signal, sign, waitMs} = options
  const body = {...input, signature: (await sign?.(taskId, input)) ?? null}
  const send = () => client.sendInput(taskId, body, signal)
  let sent = await untilAnswered(send, options)
  const end = clock.monotonic() + waitMs
  // the same input again has no second effect, and is answered with its present state
  while (sent.input.state === 'stored' && clock.monotonic() < end) {
    await clock.sleep(pollMs, signal)
    if (signal.aborted) break
    sent = await untilAnswered(send, options)
  }

  const {state, reason} = sent.input
  if (state === 'stored' || state === 'delivered') return sent
  throw new ExpectedError(
    state === 'refused'
      ? `The worker did not pass it on: ${reason ?? 'it gave no reason'}.`
      : `Nobody can know whether the agent got it: ${reason ?? 'it is gone'}.`,
    {
      code: state === 'refused' ? 'INPUT_REFUSED' : 'INPUT_UNKNOWN',
      exit: 'failed',
      suggestions: [`See the task: a2a-worker tasks get ${taskId}`],
    },
  )
}

async function untilAnswered<T>(send: () => Promise<T>, {clock, signal}: SendOptions): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await send()
    } catch (error) {
      if (error instanceof RefusedError && error.hasNoRoute) throw noInputs(error)
      if (signal.aborted || !isTransient(error) || tries >= maxTries) throw error
      await clock.sleep(Math.max(retryAfterMs(error), pause(tries)), signal)
    }
  }
}

const noInputs = (cause: unknown) =>
  new ExpectedError('This server passes nothing on to running agents.', {
    code: 'NO_INPUTS',
    exit: 'refused',
    suggestions: ['Use a control plane of this program, of a version that knows inputs: a2a-worker serve'],
    cause,
  })
