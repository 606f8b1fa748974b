import {isDeepStrictEqual} from 'node:util'
import type {InputResult, OpenQuestion} from '../../../protocol/task-input.ts'
import {isFinal} from '../../../protocol/schemas.ts'
import type {Draft, Rule} from '../../state/draft.ts'
import {pair, type Dialogue, type SettledQuestion, type StoredTask} from '../../state/records.ts'
import {recordContact} from '../dispatch/contact.ts'
import {requireTask} from '../dispatch/required.ts'
import {announceQuestion, answerOf, dialogueOf, settle, withSettled} from './dialogue.ts'
import {checkSender} from './output.ts'
import {renew} from './task-life.ts'

export type QuestionsInput = {
  task_id: string
  worker_id: string
  attempt: number
  questions: OpenQuestion[]
  inputs: InputResult[]
}

/** Takes the open questions of a run from its holder, and what became of inputs. The same report again changes nothing. */
export const takeQuestions: Rule<QuestionsInput, void> = (draft, report) => {
  recordContact(draft, report.worker_id)
  const task = requireTask(draft, report.task_id)
  if (isLate(task, report)) return correct(draft, report)
  checkSender(task, report, {taken: 'questions', sent: 'a report'})
  renew(draft, task)
  const before = dialogueOf(draft, task.id)
  const after = withQuestions(draft, withResults(draft, before, report.inputs), report.questions)
  if (isDeepStrictEqual(before, after)) return
  draft.put('dialogue', task.id, after)
  announceChanges(draft, before, after)
}

/** The last holder reports on inputs after the end of its run: the report of the run was faster. */
const isLate = (task: Readonly<StoredTask>, {worker_id, attempt}: QuestionsInput) =>
  isFinal(task.status) && task.worker_id === worker_id && task.attempt === attempt

/** What was unknown at the end of the task is known now. */
function correct(draft: Draft, {task_id: taskId, inputs}: QuestionsInput): void {
  for (const result of inputs)
    if (draft.get('input', pair(taskId, result.id))?.state === 'unknown') settle(draft, taskId, result)
}

function withResults(draft: Draft, dialogue: Readonly<Dialogue>, results: readonly InputResult[]): Dialogue {
  let {undelivered, settled} = dialogue
  for (const result of results) {
    if (!undelivered.includes(result.id)) continue
    undelivered = undelivered.filter((id) => id !== result.id)
    settle(draft, dialogue.task_id, result)
    // an answer that the agent did not get answers nothing: another one may
    if (result.outcome === 'refused') settled = settled.filter(({input}) => input !== result.id)
  }

  return {...dialogue, undelivered, settled}
}

function withQuestions(draft: Draft, dialogue: Dialogue, questions: readonly OpenQuestion[]): Dialogue {
  const open = [...new Map(questions.map((question) => [question.id, question])).values()]
  const isOpen = new Set(open.map(({id}) => id))
  let {settled} = dialogue
  for (const {id, until} of dialogue.questions) {
    if (isOpen.has(id) || answerOf({settled}, id)) continue
    settled = withSettled({settled}, {id, until, input: null, by: null, at: draft.timestamp})
  }

  // a question that is on the list again is open, unless it was answered
  const isOver = ({id, input}: SettledQuestion) => input !== null || !isOpen.has(id)
  return {...dialogue, questions: open, settled: settled.filter(isOver)}
}

/** Tells of questions that are new, or open again, and of those that ended without an answer. */
function announceChanges(draft: Draft, before: Readonly<Dialogue>, after: Readonly<Dialogue>): void {
  const openIn = (dialogue: Readonly<Dialogue>) =>
    new Map(dialogue.questions.filter(({id}) => !answerOf(dialogue, id)).map((question) => [question.id, question]))
  const [was, is] = [openIn(before), openIn(after)]
  for (const [id, question] of is) if (!was.has(id)) announceQuestion(draft, after.task_id, question, 'asked')
  for (const [id, question] of was) if (!is.has(id)) announceQuestion(draft, after.task_id, question, 'over')
}
