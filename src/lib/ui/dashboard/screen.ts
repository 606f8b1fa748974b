import type {OpenQuestion} from '../../protocol/task-input.ts'
import type {AnyTask, TaskView, View} from '../view/view.ts'

export const panes = ['tasks', 'output', 'log', 'codebases', 'history'] as const
export type Pane = (typeof panes)[number]

/** What a key triggers, apart from a change of the screen. */
export type Action =
  | {type: 'cancel'; taskId: string}
  | {type: 'create'; codebaseId: string; prompt: string}
  | ({type: 'say'; taskId: string} & Said)
  | {type: 'pause' | 'resume' | 'drain' | 'leave' | 'suspend' | 'repaint'}

/** An answer to a question, by an option or a text, or a message: a text without a question. */
export type Said = {question: string | null; option: string | null; text: string | null}

export type Question = {readonly text: string; readonly action: Action}

/** The state of the screen, changed by keys. The state of the worker is in the view. */
export type Screen = {
  readonly pane: Pane
  /** Id of the task selected in a list. The output pane shows the same task. */
  readonly subject: string | undefined
  /** Its row in the list. Selects a neighbour when the task disappears. */
  readonly row: number
  /** Position of the first line shown. Undefined: follow the newest line, and start at the first codebase. */
  readonly scroll: number | undefined
  readonly isHelp: boolean
  readonly question: Question | undefined
  /** The prompt of a new task while it is typed, and the codebase that it is for. */
  readonly draft: {readonly codebaseId: string; readonly text: string} | undefined
  /** The question of a task whose answer is being chosen. */
  readonly choice: {readonly taskId: string; readonly question: OpenQuestion} | undefined
  /** A text for a task while it is typed: the answer to a question, or a message. */
  readonly word:
    {readonly taskId: string; readonly question: OpenQuestion | undefined; readonly text: string} | undefined
  /** A message about the last key. The next key clears it. */
  readonly notice: string
}

/** The screen after a key, and the action to run, if any. */
export type KeyResult = {screen: Screen; action?: Action}

export const initialScreen: Screen = {
  pane: 'tasks',
  subject: undefined,
  row: 0,
  scroll: undefined,
  isHelp: false,
  question: undefined,
  draft: undefined,
  choice: undefined,
  word: undefined,
  notice: '',
}

/** The tasks that can be selected in a pane, in the order shown. */
export function listedTasks({tasks, waiting, ended}: View, pane: Pane): readonly AnyTask[] {
  if (pane === 'tasks') return [...tasks, ...waiting]
  return pane === 'history' ? ended : []
}

/** The row of the selected task. If the task disappeared, the row of the task in its place. -1 for an empty list. */
export function selectedRow(view: View, {pane, subject, row}: Screen): number {
  const list = listedTasks(view, pane)
  const at = list.findIndex(({id}) => id === subject)
  return at === -1 ? Math.min(row, list.length - 1) : at
}

/** The task that is selected or shown. */
export function shownTask(view: View, screen: Screen): AnyTask | undefined {
  const {pane, subject} = screen
  if (pane === 'tasks' || pane === 'history') return listedTasks(view, pane)[selectedRow(view, screen)]
  const all = [...view.tasks, ...view.ended, ...view.waiting]
  return all.find(({id}) => id === subject) ?? all[0]
}

/** Whether the task is active and can be cancelled. */
export const isActive = (task: AnyTask | undefined): task is TaskView =>
  task !== undefined && 'phase' in task && task.phase !== 'reporting'
