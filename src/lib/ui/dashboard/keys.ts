import type {Area} from './cells.ts'
import {scrollableLog} from './pane-log.ts'
import {scrollableOutput} from './pane-output.ts'
import {endPosition} from './scrolling.ts'
import {plainLine} from '../../core/text/plain-line.ts'
import {draftKey, startDraft} from './draft.ts'
import {choiceKey, startAnswer, startWord, wordKey} from './say.ts'
import {
  isActive,
  listedTasks,
  panes,
  selectedRow,
  shownTask,
  type Action,
  type KeyResult,
  type Pane,
  type Screen,
} from './screen.ts'
import type {View} from '../view/view.ts'

/** The name of a key, or the character that it types. */
export type Key = string

export type KeyContext = {
  view: View
  /** The area of the pane. */
  area: Area
  /** Closing the dashboard does not affect the worker. */
  isDetachable: boolean
}

/** The new screen after a key, and the action to run, if any. Pure. */
export function handleKey(before: Screen, key: Key, context: KeyContext): KeyResult {
  const screen = {...before, notice: ''}
  if (key === 'ctrl-c' && (screen.draft || screen.choice || screen.word))
    return {screen: {...screen, draft: undefined, choice: undefined, word: undefined}}
  if (key === 'ctrl-c') return {screen: {...screen, question: undefined}, action: {type: 'leave'}}
  if (key === 'ctrl-z') return {screen, action: {type: 'suspend'}}
  if (key === 'ctrl-l') return {screen, action: {type: 'repaint'}}
  if (screen.question) return answerQuestion(screen, key)
  if (screen.draft) return draftKey({...screen, draft: screen.draft}, key, context.view)
  if (screen.choice) return choiceKey({...screen, choice: screen.choice}, key)
  if (screen.word) return wordKey({...screen, word: screen.word}, key)
  if (screen.isHelp) return {screen: {...screen, isHelp: false}}
  return handleCommand(screen, key, context) ?? {screen: move(screen, key, context)}
}

function answerQuestion(screen: Screen, key: Key): KeyResult {
  const {question} = screen
  const answered = {...screen, question: undefined}
  if (question && key.toLowerCase() === 'y') return {screen: answered, action: question.action}
  return key.toLowerCase() === 'n' || key === 'escape' ? {screen: answered} : {screen}
}

function handleCommand(screen: Screen, key: Key, {view, isDetachable}: KeyContext): KeyResult | undefined {
  switch (key) {
    case '?':
      return {screen: {...screen, isHelp: true}}
    case 'c':
      return askToCancel(screen, view)
    case 'n':
      return {screen: startDraft(screen, view)}
    case 'a':
      return {screen: startAnswer(screen, view)}
    case 's':
      return {screen: startWord(screen, view)}
    case 'p':
      return {screen, action: {type: view.isPaused ? 'resume' : 'pause'}}
    case 'd':
      return askQuestion(screen, 'Take no more tasks, and stop the worker after the running ones?', {
        type: 'drain',
      })
    case 'q':
      return isDetachable || view.tasks.length === 0
        ? {screen, action: {type: 'leave'}}
        : askQuestion(screen, leaveText(view), {type: 'leave'})
    default:
      return undefined
  }
}

const askQuestion = (screen: Screen, text: string, action: Action): KeyResult => ({
  screen: {...screen, question: {text, action}},
})

function leaveText({phase, farewell, tasks}: View): string {
  if (farewell === null && phase !== 'draining' && phase !== 'stopping')
    return `Quit? The worker takes no more tasks and finishes the ${tasks.length} active.`
  return 'Quit sooner? The active tasks are cancelled.'
}

function askToCancel(screen: Screen, view: View): KeyResult {
  const task = shownTask(view, screen)
  if (!isActive(task) && !view.waiting.some(({id}) => id === task?.id))
    return {screen: {...screen, notice: 'No active or waiting task is selected.'}}
  return askQuestion(screen, `Cancel task ${task?.id.slice(0, 8)} (${plainLine(task?.title ?? '', 40)})?`, {
    type: 'cancel',
    taskId: task?.id ?? '',
  })
}

const steps: Record<string, (rows: number) => number> = {
  up: () => -1,
  k: () => -1,
  down: () => 1,
  j: () => 1,
  pageup: (rows) => -rows,
  pagedown: (rows) => rows,
  home: () => -Infinity,
  g: () => -Infinity,
  end: () => Infinity,
  G: () => Infinity,
}

function move(screen: Screen, key: Key, {view, area}: KeyContext): Screen {
  const by = steps[key]?.(area.height)
  if (by !== undefined)
    return listedTasks(view, screen.pane).length > 0 ? select(screen, by, view) : scroll(screen, by, view, area)
  const current = panes.indexOf(screen.pane)
  if (key === 'tab' || key === 'right') return switchPane(screen, panes[(current + 1) % panes.length], view)
  if (key === 'shift-tab' || key === 'left') return switchPane(screen, panes.at(current - 1), view)
  if (key === 'escape') return switchPane(screen, 'tasks', view)
  if (key === 'enter')
    return switchPane(screen, screen.pane === 'tasks' || screen.pane === 'history' ? 'output' : 'tasks', view)
  return switchPane(screen, panes[Number(key) - 1], view)
}

/** Switches the pane. The selected task stays selected. */
function switchPane(screen: Screen, pane: Pane | undefined, view: View): Screen {
  if (pane === undefined || pane === screen.pane) return screen
  return {...screen, pane, subject: shownTask(view, screen)?.id, scroll: undefined, row: 0}
}

function select(screen: Screen, by: number, view: View): Screen {
  const list = listedTasks(view, screen.pane)
  const row = Math.max(0, Math.min(list.length - 1, selectedRow(view, screen) + by))
  return {...screen, row, subject: list[row]?.id}
}

/** Scrolls the pane. At its end, log and output follow new lines again. */
function scroll(screen: Screen, by: number, view: View, area: Area): Screen {
  if (screen.pane === 'codebases') {
    const first = Math.max(0, Math.min(view.codebases.length - area.height, (screen.scroll ?? 0) + by))
    return {...screen, scroll: first === 0 ? undefined : first}
  }

  const lines = screen.pane === 'log' ? scrollableLog(view, area) : scrollableOutput(shownTask(view, screen), area)
  if (!lines) return screen
  const end = endPosition(lines)
  const first = Math.max(lines.tail.dropped, (screen.scroll ?? end) + by)
  return {...screen, scroll: first >= end ? undefined : first}
}
