import type {Config} from '../../config/settings.ts'
import type {Clock} from '../../core/clock.ts'
import type {Emit} from '../../events/bus.ts'
import type {OpenQuestion, SignedInput} from '../../protocol/task-input.ts'
import {readTrustedKeys} from '../../signing/key-files.ts'
import {verifyInput} from '../../signing/verify-input.ts'

/** Resolves with why an input is not passed on, or undefined. Rejects if the trusted keys cannot be read. */
export type CheckInput = (
  taskId: string,
  input: SignedInput,
  questions: readonly OpenQuestion[],
) => Promise<string | undefined>

export type CheckInputOptions = {config: Pick<Config, 'verify_tasks' | 'trusted_keys'>; clock: Clock; emit: Emit}

/** Returns the function that checks the signature of an input, as `verify_tasks` says. */
export const inputChecker =
  ({config, clock, emit}: CheckInputOptions): CheckInput =>
  async (taskId, input, questions) => {
    if (config.verify_tasks === 'off' || isRefusal(input, questions)) return undefined
    const found = await verifyInput(taskId, input, readTrustedKeys(config.trusted_keys), clock.now())
    if (!('rule' in found)) return undefined
    const problem = `verify_tasks (${found.rule}): ${found.text}`
    if (config.verify_tasks === 'require') return problem
    const text = `The agent gets this although its signature would be refused by ${problem}`
    emit({type: 'notice', level: 'warn', taskId, text})
    return undefined
  }

/** A refusal only narrows what the agent may do, so it needs no signature. With a text it would say something, too. */
function isRefusal({question: id, option, text}: SignedInput, questions: readonly OpenQuestion[]): boolean {
  if (id === null || option === null || text !== null) return false
  const asked = questions.find((question) => question.id === id)
  const chosen = asked?.options.find((one) => one.id === option)
  return chosen ? chosen.kind.startsWith('reject') : option === 'deny'
}
