import {limits} from '../../../protocol/limits.ts'
import {maxFrameText, type InputResult, type OpenQuestion, type SignedInput} from '../../../protocol/task-input.ts'
import type {Draft} from '../../state/draft.ts'
import type {StateEvent} from '../../state/events.ts'
import {factsOf} from '../../state/facts.ts'
import {pair, type Dialogue, type SettledQuestion, type StoredInput, type StoredTask} from '../../state/records.ts'
import type {State} from '../../state/state.ts'

type Asked = Pick<OpenQuestion, 'id' | 'kind' | 'title'>

/** How many questions that are over are remembered, so that a late answer is told what happened. */
const maxSettled = 50

/** What a task asks and was told. Empty if there was nothing yet. */
export const dialogueOf = (state: State, taskId: string): Readonly<Dialogue> =>
  state.get('dialogue', taskId) ?? {task_id: taskId, questions: [], settled: [], undelivered: [], inputs: 0}

/** The questions of a running task that nobody has answered yet. */
export function waitingFor(state: State, {id, status}: Readonly<Pick<StoredTask, 'id' | 'status'>>): OpenQuestion[] {
  const known = status === 'running' ? state.get('dialogue', id) : undefined
  return known ? known.questions.filter((question) => answerOf(known, question.id) === undefined) : []
}

/** The answer to a question that is on the list, if it was answered. */
export const answerOf = ({settled}: Pick<Dialogue, 'settled'>, questionId: string): SettledQuestion | undefined =>
  settled.findLast(({id}) => id === questionId)

export const withSettled = ({settled}: Pick<Dialogue, 'settled'>, question: SettledQuestion): SettledQuestion[] =>
  [...settled.filter(({id}) => id !== question.id), question].slice(-maxSettled)

/** The holder of a running task gets an input, once that is stored. */
export function deliver(draft: Draft, taskId: string, input: Readonly<StoredInput>): void {
  const lease = draft.get('lease', taskId)
  if (!lease?.isConfirmed) return
  const {workerId, attempt} = lease
  const isLong = (input.text?.length ?? 0) > maxFrameText
  draft.emit({type: 'input', workerId, taskId, attempt, input: isLong ? null : signedPart(input)})
}

/** What a worker gets of an input. */
export const signedPart = ({id, question, option, text, mode, signature}: Readonly<StoredInput>): SignedInput => ({
  ...{id, question, option, text, mode, signature},
})

/** The holder is told again what it has not reported: it has a new stream, or the run has begun. */
export function deliverAll(draft: Draft, taskId: string): void {
  for (const id of draft.get('dialogue', taskId)?.undelivered ?? []) {
    const input = draft.get('input', pair(taskId, id))
    if (input) deliver(draft, taskId, input)
  }
}

/** Records what became of an input. */
export function settle(draft: Draft, taskId: string, {id, outcome, reason}: InputResult): void {
  const text = reason?.slice(0, limits.note) ?? null
  draft.update('input', pair(taskId, id), {state: outcome, reason: text, settled_at: draft.timestamp})
}

/** The attempt is over: so are its questions, and the answers to them. Messages wait for the next attempt. */
export function endAttempt(draft: Draft, task: Readonly<StoredTask>): void {
  const dialogue = draft.get('dialogue', task.id)
  if (!dialogue) return
  const messages: string[] = []
  for (const id of dialogue.undelivered) {
    const isAnswer = draft.get('input', pair(task.id, id))?.question != null
    if (isAnswer)
      settle(draft, task.id, {id, outcome: 'unknown', reason: `attempt ${task.attempt} is over: its agent is gone`})
    else messages.push(id)
  }

  draft.update('dialogue', task.id, {questions: [], settled: [], undelivered: messages})
}

/** The task has ended: what its worker has not told is unknown. A report of the worker that is still to come counts. */
export function endDialogue(draft: Draft, {id: taskId}: Readonly<StoredTask>): void {
  const reason = 'the task ended before its worker told what became of it'
  for (const id of draft.get('dialogue', taskId)?.undelivered ?? [])
    settle(draft, taskId, {id, outcome: 'unknown', reason})
  draft.remove('dialogue', taskId)
}

/** Tells of a question: followers of the task, the monitoring log and the broker. */
export function announceQuestion(
  draft: Draft,
  taskId: string,
  {id, kind, title}: Asked,
  change: (StateEvent & {type: 'question'})['change'],
  by: string | null = null,
): void {
  const task = draft.get('task', taskId)
  if (task) draft.emit({type: 'question', task: factsOf(task), change, question: {id, kind, title}, by})
}
