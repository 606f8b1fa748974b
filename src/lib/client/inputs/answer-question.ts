import {randomUUID} from 'node:crypto'
import {ExpectedError, usageError} from '../../core/errors.ts'
import {isFinal, type Task} from '../../protocol/schemas.ts'
import {isOptionOf, type OpenQuestion, type TaskInput} from '../../protocol/task-input.ts'
import {sendInput, type SendOptions, type SentInput} from './send-input.ts'

export type Answer = Pick<TaskInput, 'option' | 'text'>
export type Answered = SentInput & {question: OpenQuestion}

/** Words that look like an answer to a permission and are none. As a text they would mean no. */
const mistakable = /^(y|yes|ok|okay|sure|j|ja|n|no|nein|true|false|accept|approve|reject|never)$/i

/**
 * What a word or a text means as the answer to a question: one of its options, or a text. Throws ExpectedError (2) for a
 * word that would be taken otherwise than it is meant.
 */
export function answerFor(question: OpenQuestion, given: string): Answer {
  const text = given.trim()
  if (text === '') throw usageError('The answer is empty.', optionsHint(question))
  if (isOptionOf(question, text)) return {option: text, text: null}
  const lower = text.toLowerCase()
  const named = question.options.find(({name}) => name.toLowerCase() === lower)
  if (named) return {option: named.id, text: null}
  const isWord = ['allow', 'always', 'deny'].includes(lower)
  if (isWord && isOptionOf(question, lower)) return {option: lower, text: null}
  if (question.kind === 'permission' && (isWord || mistakable.test(text)))
    throw usageError(`${JSON.stringify(text)} is no answer to this permission.`, optionsHint(question))
  return {option: null, text: given}
}

/** How a question can be answered, for people. */
export function optionsHint({kind, options}: OpenQuestion): string {
  const words = (['allow', 'always', 'deny'] as const).filter((word) => isOptionOf({kind, options}, word))
  const others = options
    .filter(({kind: does}) => does === 'other')
    .map(({id, name}) => (id === name ? id : `${id} (${name})`))
  const choices = [...words, ...others].join(', ')
  const text = kind === 'permission' ? 'a text says no and tells the agent why' : 'or a text'
  return choices === '' ? 'Answer with a text.' : `Answer with ${choices}; ${text}.`
}

/**
 * Answers the open question of a task, or the one with this id. Throws ExpectedError: nothing is asked (1), several
 * questions are open (2), the answer is refused (1).
 */
export async function answerQuestion(
  taskId: string,
  given: {answer: string; question: string | undefined},
  options: SendOptions,
): Promise<Answered> {
  const task = await options.client.task(taskId, options.signal)
  const question = chooseQuestion(task, given.question)
  const answer = answerFor(question, given.answer)
  return {question, ...(await sendAnswer(taskId, question, answer, options))}
}

/** Sends the answer to a question. */
export const sendAnswer = (taskId: string, {id}: OpenQuestion, answer: Answer, options: SendOptions) =>
  sendInput(taskId, {id: randomUUID(), question: id, mode: 'queue', ...answer}, options)

function chooseQuestion({id: taskId, status, waiting_for: open = []}: Task, wanted: string | undefined): OpenQuestion {
  const [first, ...others] = open
  if (!first)
    throw new ExpectedError(
      isFinal(status) ? `Task ${taskId} asks nothing: it is ${status}.` : `Task ${taskId} asks nothing now.`,
      {
        code: 'NOTHING_ASKED',
        exit: 'failed',
        suggestions: [`To tell it something: a2a-worker tasks say ${taskId} TEXT`],
      },
    )
  const lines = open.map(({id, title}) => `--question ${id}  ${title}`)
  if (wanted === undefined) {
    if (others.length === 0) return first
    throw usageError(`Task ${taskId} asks ${open.length} questions. Name one of them.`, ...lines)
  }

  const found = open.find(({id}) => id === wanted)
  if (found) return found
  throw new ExpectedError(`Task ${taskId} has no open question ${wanted}.`, {
    code: 'NOTHING_ASKED',
    exit: 'failed',
    suggestions: lines,
  })
}
