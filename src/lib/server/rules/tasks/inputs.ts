import {limits} from '../../../protocol/limits.ts'
import {isFinal} from '../../../protocol/schemas.ts'
import {
  isOptionOf,
  maxInputs,
  maxUndelivered,
  metadataOfNext,
  type OpenQuestion,
  type SignedInput,
} from '../../../protocol/task-input.ts'
import {conflict, HttpError} from '../../http/http-error.ts'
import type {Draft, Rule} from '../../state/draft.ts'
import {pair, type Dialogue, type StoredInput, type StoredTask} from '../../state/records.ts'
import {requireTask} from '../dispatch/required.ts'
import {nameOf} from '../dispatch/roster.ts'
import {createTask} from './create-task.ts'
import {announceQuestion, answerOf, deliver, dialogueOf, waitingFor, withSettled} from './dialogue.ts'

export type NewTaskInput = {
  task_id: string
  input: SignedInput
  /** The name of the token that sent it. */
  by: string | null
  /** The id of the next task, if the input creates one. */
  next_id: string
}

export type Accepted = {input: Readonly<StoredInput>; task?: Readonly<StoredTask>}

/**
 * Stores what a person says to a task, for its holder. A message to an ended task creates the next task of its session. The
 * same id again is the same input, and is answered with what was stored.
 */
export const storeInput: Rule<NewTaskInput, Accepted> = (draft, request) => {
  const {task_id: taskId, input, by} = request
  const task = requireTask(draft, taskId)
  const known = draft.get('input', pair(taskId, input.id))
  if (known) return repeated(draft, known, input)
  checkContent(input)
  if (isFinal(task.status)) return createNext(draft, task, request)
  checkHolder(draft, task)
  const dialogue = dialogueOf(draft, taskId)
  const question = input.question === null ? undefined : openQuestion(draft, task, dialogue, input.question)
  if (question) checkAnswer(question, input)
  checkNumber(task, dialogue)
  const stored = storedInput(draft, request)
  draft.put('input', stored.key, stored)
  const {id, created_at: at} = stored
  const answered = question && {id: question.id, until: question.until, input: id, by, at}
  draft.put('dialogue', taskId, {
    ...dialogue,
    undelivered: [...dialogue.undelivered, id],
    inputs: dialogue.inputs + 1,
    ...(answered ? {settled: withSettled(dialogue, answered)} : {}),
  })
  audit(draft, task, stored)
  if (question) announceQuestion(draft, taskId, question, 'answered', by)
  deliver(draft, taskId, stored)
  return {input: stored}
}

function repeated(draft: Draft, known: Readonly<StoredInput>, input: SignedInput): Accepted {
  const isSame = (['question', 'option', 'text', 'mode'] as const).every((field) => known[field] === input[field])
  if (!isSame) throw conflict(`The id ${input.id} belongs to another input of this task`)
  const next = known.next_task === null ? undefined : draft.get('task', known.next_task)
  return {input: known, ...(next ? {task: next} : {})}
}

/** Throws 400 for an input that says nothing, or two things at once. */
function checkContent({question, option, text}: SignedInput): void {
  const bad = (detail: string) => new HttpError(400, detail)
  if (text !== null && text.trim() === '') throw bad('The text is empty')
  if (text !== null && text.length > limits.object)
    throw bad(`The text is longer than ${limits.object} characters. Put it into a file of the codebase instead`)
  if (question === null && option !== null) throw bad('An option answers a question: name the question')
  if (question === null && text === null) throw bad('A message needs a text')
  if (question !== null && (option === null) === (text === null))
    throw bad('An answer needs an option or a text, and not both')
}

/** Throws 409 unless a worker runs the task that passes inputs on. */
function checkHolder(draft: Draft, task: Readonly<StoredTask>): void {
  if (task.status !== 'running')
    throw conflict(`Task ${task.id} does not run: it is ${task.status}. Only a running task can be told something`)
  if (task.cancel_requested_at !== null) throw conflict(`Task ${task.id} is being cancelled`)
  const workerId = task.worker_id ?? ''
  if (draft.get('worker', workerId)?.features.includes('input')) return
  throw conflict(`This worker takes no inputs: ${nameOf(draft, workerId)} is of a version or kind without them`)
}

/** The question, if it is open. Throws 409 with what has happened to it. */
function openQuestion(
  draft: Draft,
  task: Readonly<StoredTask>,
  dialogue: Readonly<Dialogue>,
  questionId: string,
): OpenQuestion {
  const settled = answerOf(dialogue, questionId)
  if (settled?.input != null)
    throw conflict(`Question ${questionId} was answered by ${settled.by ?? 'somebody'} at ${settled.at}`)
  const asked = dialogue.questions.find(({id}) => id === questionId)
  if (asked) return asked
  if (settled?.until != null && settled.until <= draft.now)
    throw conflict(`Question ${questionId} has expired: nobody answered it in time`)
  if (settled) throw conflict(`Question ${questionId} is over since ${settled.at}: the agent does not ask it any more`)
  const others = waitingFor(draft, task).map(({id}) => id)
  const open = others.length > 0 ? `Open are: ${others.join(', ')}` : 'The task asks nothing now'
  throw conflict(`Task ${task.id} has no question ${questionId}. ${open}`)
}

/** Throws 400 for an option that the question does not have. */
function checkAnswer(question: OpenQuestion, {option, text}: SignedInput): void {
  if (option !== null && isOptionOf(question, option)) return
  if (text !== null) return
  const options = question.options.map(({id, name}) => (id === name ? id : `${id} (${name})`)).join(', ')
  const detail = `There is no option ${option?.slice(0, 100)}. Options: ${options || 'none'}`
  throw new HttpError(400, detail, {more: {options: question.options}})
}

/** Throws 429 if too much is on its way, or the task was told too much. */
function checkNumber({id}: Readonly<StoredTask>, {undelivered, inputs}: Readonly<Dialogue>): void {
  const tooMany = (detail: string) => new HttpError(429, detail, {headers: {'retry-after': '10'}})
  if (undelivered.length >= maxUndelivered)
    throw tooMany(
      `${undelivered.length} inputs of task ${id} wait to be delivered, which is the limit. Try again later`,
    )
  if (inputs >= maxInputs) throw tooMany(`Task ${id} has got ${inputs} inputs, which is the limit`)
}

const storedInput = (draft: Draft, {task_id, input, by}: NewTaskInput): StoredInput => ({
  ...{key: pair(task_id, input.id), task_id, ...input, created_by: by, created_at: draft.timestamp},
  ...{state: 'stored', reason: null, settled_at: null, next_task: null},
})

/** Who said something, and what kind of thing. A text is not repeated in the audit. */
function audit(draft: Draft, task: Readonly<StoredTask>, {id, question, option, text, created_by}: StoredInput): void {
  const what = option === null ? `a text of ${text?.length ?? 0} characters` : `option ${option}`
  const detail = question === null ? `input ${id}: ${what}` : `input ${id}: question ${question}, ${what}`
  draft.audit(question === null ? 'task.told' : 'task.answered', {
    ...{who: created_by, task_id: task.id, worker_id: task.worker_id, detail},
  })
}

/** The task has ended: a message to it becomes the next task of its session. Throws 409 if that cannot be. */
function createNext(draft: Draft, task: Readonly<StoredTask>, request: NewTaskInput): Accepted {
  const {input, by, next_id: id} = request
  if (input.question !== null) throw conflict(`Task ${task.id} is already ${task.status}: it asks nothing any more`)
  const {session_id: session, codebase_id, agent_type, model, priority, metadata} = task
  if (session === null)
    throw conflict(`Task ${task.id} is already ${task.status}, and has no session to go on with. Create a new task`)
  const text = input.text ?? ''
  const next = createTask(draft, {
    input: {
      ...{codebase_id, agent_type, model, priority, title: titleOf(text), prompt: text},
      metadata: metadataOfNext(metadata, session),
    },
    ...{id, by, key: undefined, client: ''},
  })
  const stored: StoredInput = {
    ...storedInput(draft, request),
    ...{state: 'delivered', reason: `it is the prompt of task ${id}`, settled_at: draft.timestamp, next_task: id},
  }
  draft.put('input', stored.key, stored)
  audit(draft, task, stored)
  return {input: stored, task: next}
}

/** The first line of a text, shortened. */
function titleOf(text: string): string {
  const [line = ''] = text.trim().split('\n')
  return line.length > 80 ? `${line.slice(0, 79)}…` : line
}
