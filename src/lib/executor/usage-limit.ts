import type {Clock} from '../core/clock.ts'
import type {RunRecord} from '../opencode/output/record.ts'
import type {Drive} from './acp/drive-agent.ts'
import type {RunLimits, StopReason} from './executor.ts'

const checkMs = 200

export type UsageOptions = {
  record: Pick<RunRecord, 'usage' | 'steps'>
  drive?: Pick<Drive, 'spent'> | undefined
  limits: RunLimits | undefined
  clock: Clock
}

/** Resolves with the reason to stop once a run has used more than it may. Never resolves without a limit, or once aborted. */
export async function watchUsage(
  {record, drive, limits = {}, clock}: UsageOptions,
  signal: AbortSignal,
): Promise<StopReason> {
  const {promise: never} = Promise.withResolvers<StopReason>()
  if (Object.values(limits).every((limit) => limit === undefined)) return await never
  while (!signal.aborted) {
    const error = excess({record, drive, limits})
    if (error !== undefined) return {status: 'failed', error}
    await clock.sleep(checkMs, signal)
  }

  return await never
}

/** What was used beyond the limits. A turn that goes on counts as far as it is known. */
function excess({record: {usage, steps}, drive, limits}: Pick<UsageOptions, 'record' | 'drive'> & {limits: RunLimits}) {
  const open = drive?.spent
  const cost = usage.cost + (open?.cost ?? 0)
  const tokens = usage.input + usage.output + (open ? open.tokens.input + open.tokens.output : 0)
  const turns = steps + (open?.steps ?? 0)
  if (limits.cost !== undefined && cost > limits.cost)
    return `the task has cost $${cost.toFixed(4)}, which is more than max_cost ($${limits.cost})`
  if (limits.tokens !== undefined && tokens > limits.tokens)
    return `the task has used ${tokens} tokens, which is more than max_tokens (${limits.tokens})`
  if (limits.turns !== undefined && turns > limits.turns)
    return `the model has had ${turns} turns, which is more than max_turns (${limits.turns})`
  return undefined
}
