import type {AnyTask, TaskView, View} from '../view/view.ts'

export const panes = ['tasks', 'output', 'log', 'codebases', 'history'] as const
export type Pane = (typeof panes)[number]

/** What a key press leads to, beyond another look of the screen. */
export type Action =
  {type: 'cancel'; taskId: string} | {type: 'pause' | 'resume' | 'drain' | 'leave' | 'suspend' | 'repaint'}

export type Question = {readonly text: string; readonly action: Action}

/** What is looked at: all that the keys change. The worker itself is in the view. */
export type Screen = {
  readonly pane: Pane
  /** The task that is looked at: selected in a list, and the one whose output is shown. */
  readonly subject: string | undefined
  /** Where it was in its list, for when it is there no more. */
  readonly row: number
  /** The place of the first line shown; undefined: the newest are followed, and of the codebases the first are shown. */
  readonly scroll: number | undefined
  readonly isHelp: boolean
  readonly question: Question | undefined
  /** What came of the last key press, until the next one. */
  readonly notice: string
}

export const initialScreen: Screen = {
  pane: 'tasks',
  subject: undefined,
  row: 0,
  scroll: undefined,
  isHelp: false,
  question: undefined,
  notice: '',
}

/** The tasks that can be selected in a pane, as they stand there. */
export function listedTasks({tasks, waiting, ended}: View, pane: Pane): readonly AnyTask[] {
  if (pane === 'tasks') return [...tasks, ...waiting]
  return pane === 'history' ? ended : []
}

/** The row of the selected task; where it has gone, that of whichever is in its place. -1: there is none. */
export function selectedRow(view: View, {pane, subject, row}: Screen): number {
  const list = listedTasks(view, pane)
  const at = list.findIndex(({id}) => id === subject)
  return at === -1 ? Math.min(row, list.length - 1) : at
}

/** The task that is looked at. */
export function shownTask(view: View, screen: Screen): AnyTask | undefined {
  const {pane, subject} = screen
  if (pane === 'tasks' || pane === 'history') return listedTasks(view, pane)[selectedRow(view, screen)]
  const all = [...view.tasks, ...view.ended, ...view.waiting]
  return all.find(({id}) => id === subject) ?? all[0]
}

/** In hand, and not only being reported. */
export const isActive = (task: AnyTask | undefined): task is TaskView =>
  task !== undefined && 'phase' in task && task.phase !== 'reporting'
