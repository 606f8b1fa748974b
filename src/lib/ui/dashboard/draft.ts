import {cell, row, type Row} from './cells.ts'
import {textWidth, toPlain} from '../text/plain-text.ts'
import {shownTask, type KeyResult, type Screen} from './screen.ts'
import type {CodebaseView, View} from '../view/view.ts'

const servedOf = ({codebases}: View) => codebases.filter((codebase) => codebase.id !== null)

/** Begins to type a new task, for the codebase of the selected task, or the first one. */
export function startDraft(screen: Screen, view: View): Screen {
  const served = servedOf(view)
  const task = shownTask(view, screen)
  const path = task && 'path' in task ? task.path : undefined
  const {id} = served.find((codebase) => codebase.path === path) ?? served[0] ?? {}
  return id ? {...screen, draft: {codebaseId: id, text: ''}} : {...screen, notice: 'No codebase is served.'}
}

/** The screen after a key while a new task is typed. */
export function draftKey(screen: Screen & {draft: NonNullable<Screen['draft']>}, key: string, view: View): KeyResult {
  const {draft} = screen
  const change = (text: string): KeyResult => ({screen: {...screen, draft: {...draft, text}}})
  switch (key) {
    case 'enter':
      if (draft.text.trim() === '') return {screen: {...screen, draft: undefined}}
      return {
        screen: {...screen, draft: undefined},
        action: {type: 'create', codebaseId: draft.codebaseId, prompt: draft.text},
      }
    case 'escape':
      return {screen: {...screen, draft: undefined}}
    case 'backspace':
      return change([...draft.text].slice(0, -1).join(''))
    case 'ctrl-u':
      return change('')
    case 'tab':
      return {screen: {...screen, draft: {...draft, codebaseId: nextOf(servedOf(view), draft.codebaseId)}}}
    default:
      return [...key].length === 1 ? change(draft.text + key) : {screen}
  }
}

function nextOf(served: readonly CodebaseView[], id: string): string {
  const at = served.findIndex((codebase) => codebase.id === id)
  return served[(at + 1) % served.length]?.id ?? id
}

/** The line in which a new task is typed. Of a long text it shows the end. */
export function draftRow({draft}: Screen, view: View, width: number): Row {
  const served = servedOf(view)
  const name = served.find(({id}) => id === draft?.codebaseId)?.name ?? ''
  const hint = served.length > 1 ? ' (tab: next codebase)' : ''
  const label = ` New task for ${name}${hint}: `
  let text = toPlain((draft?.text ?? '').replaceAll('\n', '⏎'))
  const room = Math.max(10, width - textWidth(label) - 1)
  while (textWidth(text) > room) text = [...text].slice(1).join('')
  return row(width, cell(label, 'accent'), cell(text), cell('▏', 'accent'))
}
