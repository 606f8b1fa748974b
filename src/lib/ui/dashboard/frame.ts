import type {Connection, Phase} from '../../events/worker-event.ts'
import {cell, emptyRow, row, spread, type Area, type Cell, type Row, type Tone} from './cells.ts'
import {codebasesPane} from './pane-codebases.ts'
import {draftRow} from './draft.ts'
import {choiceRow, wordRow} from './say.ts'
import {historyPane} from './pane-history.ts'
import {logPane} from './pane-log.ts'
import {outputRows} from './pane-output.ts'
import {tasksPane} from './pane-tasks.ts'
import {panes, shownTask, type Pane, type Screen} from './screen.ts'
import {timeOfDay} from '../../core/text/times.ts'
import type {View} from '../view/view.ts'

/** Rows around the pane: two of header, one of tabs, one of keys. */
const frameRows = 4
const minSize = {width: 20, height: 6}
const minWidthForTime = 50

/** The area left for the pane. */
export const paneArea = ({width, height, now}: Area): Area => ({width, height: Math.max(1, height - frameRows), now})

export type Scene = Area & {view: View; screen: Screen; isDetachable: boolean}

/** All rows of the screen. */
export function frame(scene: Scene): Row[] {
  const {view, screen, width, height} = scene
  if (width < minSize.width || height < minSize.height) return [row(width, cell('The terminal is too small.'))]
  const area = paneArea(scene)
  const body = (screen.isHelp ? helpRows(scene) : paneRows(view, screen, area)).slice(0, area.height)
  const blanks = Array.from({length: area.height - body.length}, () => emptyRow)
  return [...headerRows(view, width), tabsRow(view, screen, width), ...body, ...blanks, footerRow(scene)]
}

function paneRows(view: View, screen: Screen, area: Area): Row[] {
  switch (screen.pane) {
    case 'tasks':
      return tasksPane(view, screen, area)
    case 'output':
      return outputRows(shownTask(view, screen), screen.scroll, area)
    case 'log':
      return logPane(view, screen.scroll, area)
    case 'codebases':
      return codebasesPane(view, screen.scroll, area)
    case 'history':
      return historyPane(view, screen, area)
  }
}

const phaseTones: Record<Phase, Tone> = {
  idle: 'dim',
  starting: 'warn',
  running: 'good',
  draining: 'warn',
  stopping: 'warn',
  stopped: 'dim',
  failed: 'bad',
}

const linkTones: Record<Connection, Tone> = {stream: 'good', broker: 'warn', poll: 'warn', down: 'bad'}

function headerRows(view: View, width: number): Row[] {
  const {name, phase, isPaused, isDiskLow, troubles, link, slots, server, tasks, waiting, waitingMore, totals} = view
  const busy = tasks.filter(({phase}) => phase !== 'reporting').length
  const left = [
    cell(` ${name} `, 'strong'),
    cell(`${phase} `, phaseTones[phase]),
    ...(isPaused && phase === 'running' ? [cell('paused ', 'warn')] : []),
    ...(isDiskLow && phase === 'running' ? [cell('paused: disk nearly full', 'warn')] : []),
    ...(troubles.length > 0 && phase === 'running'
      ? [cell(`trouble: ${troubles.map(({kind, name}) => name || kind).join(', ')} `, 'bad')]
      : []),
  ]
  const why = link.value === 'stream' ? '' : ` (${link.reason.slice(0, Math.max(0, width - 50))})`
  const since = width < minWidthForTime ? '' : ` since ${timeOfDay(link.since)}${why}`
  const right = [cell('● ', linkTones[link.value]), cell(`${link.value}${since}`)]
  const counts = [
    `slots ${busy}/${slots}`,
    ...(waiting.length > 0 ? [`${waiting.length + waitingMore} waiting`] : []),
    `${totals.completed} done`,
    ...(totals.failed > 0 ? [`${totals.failed} failed`] : []),
    ...(totals.cancelled > 0 ? [`${totals.cancelled} cancelled`] : []),
    ...(totals.cost > 0 ? [`$${totals.cost.toFixed(2)}`] : []),
  ]
  return [spread(width, left, right), spread(width, [cell(` ${server}`, 'dim')], [cell(counts.join(' · '))])]
}

const titles: Record<Pane, string> = {
  tasks: 'Tasks',
  output: 'Output',
  log: 'Log',
  codebases: 'Codebases',
  history: 'History',
}

function tabsRow({tasks, waiting, waitingMore, ended}: View, {pane, isHelp}: Screen, width: number): Row {
  const open = tasks.length + waiting.length + waitingMore
  const counts: Partial<Record<Pane, number>> = {tasks: open, history: ended.length}
  const labels = panes.map((name, i) => `${i + 1} ${titles[name]}${counts[name] ? ` ${counts[name]}` : ''}`)
  const isRoomy = labels.join('').length + 2 * labels.length <= width
  const tab = (name: Pane, i: number): Cell => {
    if (name === pane && !isHelp) return cell(`[${labels[i]}]`, 'chosen')
    return cell(` ${isRoomy ? labels[i] : i + 1} `, 'dim')
  }
  return row(width, ...panes.map(tab))
}

function footerRow({view, screen, width, isDetachable}: Scene): Row {
  if (screen.question) return spread(width, [cell(` ${screen.question.text}`, 'warn')], [cell('y/n', 'strong')])
  if (screen.draft) return draftRow(screen, view, width)
  if (screen.choice) return choiceRow(screen.choice, width)
  if (screen.word) return wordRow(screen.word, width)
  if (screen.notice) return row(width, cell(` ${screen.notice}`, 'warn'))
  if (view.farewell !== null && view.phase !== 'running') return row(width, cell(` ${view.farewell}`, 'warn'))
  const quit = isDetachable ? 'q close' : 'q quit'
  const asks = view.tasks.some(({questions}) => questions.length > 0)
  const keys = ` ? help · ${quit} · n new · tab pane · ⏎ output · c cancel · ${asks ? 'a answer · ' : ''}p ${view.isPaused ? 'resume' : 'pause'} · d drain`
  return row(width, cell(keys, 'dim'))
}

function helpRows({width, isDetachable}: Scene): Row[] {
  const keys = [
    ['↑ ↓ j k', 'select a task; in other panes scroll'],
    ['PgUp PgDn', 'scroll a page; Home and End (g, G): first and last'],
    ['tab ← → 1-5', 'switch the pane'],
    ['enter', 'show the output of the selected task, and back'],
    ['n', 'create a task: type its prompt, then enter; escape leaves it'],
    ['a', 'answer what an agent asks: the number of an option, or t and a text'],
    ['s', 'say something to the selected task'],
    ['c', 'cancel the selected task, active or waiting; confirm with y'],
    ['p', 'pause and resume taking tasks'],
    ['d', 'drain: take no more tasks, exit after the running ones'],
    ['q', isDetachable ? 'close; the worker keeps running' : 'quit: drain, again: cancel tasks, again: exit at once'],
    ['ctrl-c', isDetachable ? 'like q' : 'like q, without confirmation'],
    ['ctrl-l', 'redraw the screen'],
  ]
  return [
    emptyRow,
    ...keys.map(([key = '', text = '']) => row(width, cell(`  ${key.padEnd(13)}`, 'strong'), cell(text))),
  ]
}
