import type {OpenQuestion} from '../../protocol/task-input.ts'
import {cell, row, spread, type Row} from './cells.ts'
import {textWidth, toPlain} from '../text/plain-text.ts'
import {plainLine} from '../../core/text/plain-line.ts'
import {isActive, shownTask, type KeyResult, type Screen} from './screen.ts'
import type {View} from '../view/view.ts'

/** Begins to answer the first question of the selected task, or of the first task that asks. */
export function startAnswer(screen: Screen, view: View): Screen {
  const shown = shownTask(view, screen)
  const selected = isActive(shown) && shown.questions.length > 0 ? shown : undefined
  const task = selected ?? view.tasks.find(({questions}) => questions.length > 0)
  const [question] = task?.questions ?? []
  if (!task || !question) return {...screen, notice: 'No task asks anything.'}
  if (question.options.length === 0) return typing(screen, task.id, question)
  return {...screen, subject: task.id, choice: {taskId: task.id, question}}
}

/** Begins to type something for the selected task. */
export function startWord(screen: Screen, view: View): Screen {
  const task = shownTask(view, screen)
  if (!isActive(task)) return {...screen, notice: 'No active task is selected.'}
  return typing(screen, task.id, undefined)
}

const typing = (screen: Screen, taskId: string, question: OpenQuestion | undefined): Screen => ({
  ...screen,
  choice: undefined,
  subject: taskId,
  word: {taskId, question, text: ''},
})

/** The screen after a key while an option is chosen. */
export function choiceKey(screen: Screen & {choice: NonNullable<Screen['choice']>}, key: string): KeyResult {
  const {taskId, question} = screen.choice
  if (key === 'escape') return {screen: {...screen, choice: undefined}}
  if (key === 't') return {screen: typing(screen, taskId, question)}
  const option = question.options[Number(key) - 1]
  if (!option) return {screen}
  const action = {type: 'say', taskId, question: question.id, option: option.id, text: null} as const
  return {screen: {...screen, choice: undefined}, action}
}

/** The screen after a key while a text for a task is typed. */
export function wordKey(screen: Screen & {word: NonNullable<Screen['word']>}, key: string): KeyResult {
  const {word} = screen
  const change = (text: string): KeyResult => ({screen: {...screen, word: {...word, text}}})
  const closed = {...screen, word: undefined}
  if (key === 'escape') return {screen: closed}
  if (key === 'backspace') return change([...word.text].slice(0, -1).join(''))
  if (key === 'ctrl-u') return change('')
  if (key !== 'enter') return [...key].length === 1 ? change(word.text + key) : {screen}
  if (word.text.trim() === '') return {screen: closed}
  const {taskId, question, text} = word
  return {screen: closed, action: {type: 'say', taskId, question: question?.id ?? null, option: null, text}}
}

/** The line in which an option is chosen: the options first, so that they fit. */
export function choiceRow({question}: NonNullable<Screen['choice']>, width: number): Row {
  const options = question.options.map(({name}, i) => `${i + 1} ${plainLine(name, 24)}`)
  const keys = [...options, 't text', 'esc'].join(' · ')
  return spread(width, [cell(` ${plainLine(question.title, 200)}`, 'warn')], [cell(` ${keys}`, 'strong')])
}

/** The line in which a text is typed. Of a long text it shows the end. */
export function wordRow({taskId, question, text: typed}: NonNullable<Screen['word']>, width: number): Row {
  const label = question ? ` Answer to ${plainLine(question.title, 30)}: ` : ` Say to ${taskId.slice(0, 8)}: `
  let text = toPlain(typed.replaceAll('\n', '⏎'))
  const room = Math.max(10, width - textWidth(label) - 1)
  while (textWidth(text) > room) text = [...text].slice(1).join('')
  return row(width, cell(label, 'accent'), cell(text), cell('▏', 'accent'))
}
