import type {OpenQuestion, QuestionOption, TaskInput} from '../protocol/task-input.ts'
import {limits} from '../protocol/limits.ts'
import {chosenOption, optionKinds} from '../protocol/task-input.ts'
import {type Fields, fieldsOf, listOf, type MessageId, textOf} from './message.ts'

const maxOptions = 20

/** The question that a request for a permission asks. `since` and `until` in Unix ms. */
export function questionOf(id: string, params: Fields, times: Pick<OpenQuestion, 'since' | 'until'>): OpenQuestion {
  const options = listOf(params['options']).slice(0, maxOptions).map(optionOf)
  return {id, kind: 'permission', title: titleOf(fieldsOf(params['toolCall'])), options, ...times}
}

/** The id under which a person answers: unique in the run, and safe to type. */
export const questionId = (process: number, id: MessageId) => `${process > 1 ? `${process}-` : ''}${id}`

function optionOf(option: Fields): QuestionOption {
  const id = textOf(option['optionId']).slice(0, limits.id)
  const kind = optionKinds.find((known) => known === option['kind']) ?? 'other'
  return {id, name: (textOf(option['name']) || id).slice(0, limits.name), kind}
}

/** Kinds of calls that say nothing to people. */
const vagueKinds = ['', 'other', 'think']

/** What the agent wants to do: the kind of the call, and a command, a path or a title. */
function titleOf(call: Fields): string {
  const input = fieldsOf(call['rawInput'])
  const [location] = listOf(call['locations'])
  const [title, description] = [textOf(call['title']), textOf(input['description'])]
  // A bare name of a tool says too little.
  const named = description !== '' && /^\w+$/.test(title) ? `${title}: ${description}` : title
  const what = textOf(input['command']) || named || textOf(location?.['path']) || 'something'
  const kind = textOf(call['kind'])
  const text = vagueKinds.includes(kind) || what.startsWith(kind) ? what : `${kind} ${what}`
  return text.replaceAll(/\s+/g, ' ').trim().slice(0, limits.note)
}

/** The result of a permission request. Undefined is no option: the request is cancelled. */
export const permissionResult = (option: Pick<QuestionOption, 'id'> | undefined): Fields => ({
  outcome: option ? {outcome: 'selected', optionId: option.id} : {outcome: 'cancelled'},
})

/** What the answer of a person means for a question. A text says no, and is a message to the agent. */
export function answerOf(
  question: OpenQuestion,
  {option, text}: Pick<TaskInput, 'option' | 'text'>,
): {option: QuestionOption | undefined; message?: string} | {problem: string} {
  if (option !== null) {
    const chosen = chosenOption(question, option)
    if (chosen) return {option: chosen}
    if (option === 'deny') return {option: undefined}
    return {problem: `the question has no option ${option}; it has ${question.options.map(({id}) => id).join(', ')}`}
  }
  if (text === null || text.trim() === '') return {problem: 'the answer is empty'}
  return {option: chosenOption(question, 'deny'), message: text}
}
