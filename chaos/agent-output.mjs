/**
 * The output of a stub agent. It is known exactly, so that each missing, duplicated or misplaced byte is detected.
 * @typedef {{lines: number, pauseMs: number, bytes: number, end: 'done' | 'silent' | 'error',
 *   child: 'none' | 'marked' | 'folder' | 'descriptor', traps: boolean}} Plan
 */

/** Each start of an agent has its own session in its lines, so that they are unique. */
export const sessionOf = (task, attempt, start) => `ses_${task}_${attempt}_${start}`

/**
 * The lines of one start of the agent of a task, each with its line end.
 * @param {string} task @param {number} attempt @param {number} start @param {Plan} plan
 */
export function* linesOf(task, attempt, start, plan) {
  const sessionID = sessionOf(task, attempt, start)
  const line = (event) => `${JSON.stringify({...event, sessionID})}\n`
  yield line({type: 'step_start', part: {type: 'step-start'}})
  for (let i = 0; i < plan.lines; i++) {
    const text = `${i} ${'äx'.repeat((plan.bytes + i) % (plan.bytes + 1))}`
    yield line({type: 'text', part: {messageID: 'msg_1', type: 'text', text}})
  }
  if (plan.end === 'error') yield line({type: 'error', error: {name: 'APIError', data: {message: 'as planned'}}})
  if (plan.end === 'done')
    yield line({type: 'step_finish', part: {type: 'step-finish', reason: 'stop', cost: 0, tokens: {}}})
}
