import type {WorkerStatus} from '../../control/messages.ts'
import {formatBytes} from '../../core/text/format-bytes.ts'
import {counted} from '../../core/text/counted.ts'
import {parseTime} from '../../core/clock.ts'
import type {MonitorWorker} from '../../protocol/schemas.ts'
import {fittedTable, type Cell, type Column, type Screen} from './fitted-table.ts'
import {age} from '../../core/text/times.ts'
import {plainLine} from '../../core/text/plain-line.ts'
import {table} from './table.ts'
import {formatClock} from '../../core/text/times.ts'
import {containmentTexts} from '../../protocol/containment.ts'
import {agentStateText} from '../../protocol/agent-state.ts'
import {questionsText} from '../../protocol/task-input.ts'

const columns: readonly Column[] = [
  {heading: 'ID'},
  {heading: 'NAME', min: 8},
  {heading: 'STATE'},
  {heading: 'SEEN', omit: 1},
  {heading: 'RUNNING', omit: 2},
  {heading: 'DONE', omit: 3},
  {heading: 'CODEBASES', omit: 4},
  {heading: 'HOST', min: 6, omit: 5},
]

/** Workers of the control plane as a table. `now` is in ms. */
export function workerTable(workers: readonly MonitorWorker[], now: number, screen: Screen): string {
  const rows = workers.map((worker): Cell[] => [
    worker.id,
    plainLine(worker.name, 30),
    {
      text: `${worker.connected ? 'connected' : worker.status}${worker.paused === null ? '' : ', paused'}`,
      tone: worker.paused !== null ? 'warn' : worker.connected || worker.status === 'active' ? 'good' : 'dim',
    },
    age(parseTime(worker.last_heartbeat), now),
    String(worker.running),
    worker.tasks_completed === null ? '?' : String(worker.tasks_completed),
    String(worker.codebases),
    worker.hostname ?? '-',
  ])
  const pauses = workers.flatMap(({name, paused}) =>
    paused === null ? [] : [`${plainLine(name, 30)} takes no tasks: ${plainLine(paused, 300)}`],
  )
  if (rows.length === 0) return 'No workers.'
  return [fittedTable(columns, rows, screen), ...pauses].join('\n')
}

/** Trouble with a provider concerns only its tasks. */
const isPause = ({kind}: WorkerStatus['troubles'][number]) => kind !== 'provider'

/** A paused worker reports no free slots, so the slots in use are counted by the tasks. */
function describeSlots({slots, free, paused, disk, troubles, tasks}: WorkerStatus): string {
  const running = tasks.filter(({phase}) => phase !== 'reporting').length
  return `${paused || disk?.is_low || troubles.some(isPause) ? running : slots - free} of ${slots} in use`
}

function describeDisk({
  path,
  free,
  minimum,
  is_low: isLow,
  free_inodes: inodes,
  runs,
}: NonNullable<WorkerStatus['disk']>): string {
  const history = `${counted(runs.tasks, 'ended task uses', 'ended tasks use')} ${formatBytes(runs.bytes)}`
  const isShortOfSpace = free < minimum * 1.1
  const cause = isShortOfSpace
    ? `, less than min_free_disk (${formatBytes(minimum)})`
    : `, but only ${counted(inodes ?? 0, 'more file')} can be created (inodes)`
  const why = isLow ? `${cause}: the worker takes no tasks` : ''
  return `${formatBytes(free)} free for ${path}${why}; ${history}`
}

function refusedReports({ended}: WorkerStatus): string[] {
  const lines = ended.flatMap(({id, status, refusal}) =>
    refusal === null ? [] : [`  ${id}  ${status}  ${plainLine(refusal, 200)}`],
  )
  return lines.length > 0 ? ['reports refused by the server', ...lines] : []
}

/** The status of a worker of this machine. */
export function workerDetails(worker: WorkerStatus, now: number): string {
  const head = table([
    [
      'worker',
      `${worker.name} (${worker.worker_id}), pid ${worker.pid}, ${worker.phase}${worker.paused ? ', paused' : ''}`,
    ],
    ['connection', `${worker.link} to ${worker.server}`],
    ['slots', describeSlots(worker)],
    ...worker.troubles.map((trouble) => [
      'trouble',
      `takes no tasks${trouble.kind === 'provider' ? ` of provider ${trouble.name}` : ''}, for ${age(trouble.since, now)}: ${plainLine(trouble.reason, 300)}`,
    ]),
    ...(worker.disk ? [['disk', describeDisk(worker.disk)]] : []),
    ...(worker.agents.length > 0 ? [['agents', `opencode, ${worker.agents.join(', ')}`]] : []),
    ...(worker.containment ? [['runs', containmentTexts[worker.containment]]] : []),
  ])
  const codebases = worker.codebases.map(
    ({id, name, path}) => `  ${id}  ${path}${name && name !== path ? `  (${plainLine(name, 30)})` : ''}`,
  )
  const tasks = worker.tasks.map(({id, phase, since, title, waiting, agent_state: state, questions}) => {
    const doing = state && phase === 'running' ? `${agentStateText(state)}, ${formatClock(now - state.since)}` : null
    const detail = questionsText(questions) ?? waiting ?? doing
    return `  ${id}  ${phase} for ${age(since, now)}  ${plainLine(title, 60)}${detail === null ? '' : `  (${plainLine(detail, 200)})`}`
  })
  return [
    head,
    'codebases',
    ...(codebases.length > 0 ? codebases : ['  none']),
    'tasks',
    ...(tasks.length > 0 ? tasks : ['  none']),
    ...refusedReports(worker),
  ].join('\n')
}
