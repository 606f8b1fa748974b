/** @jsxImportSource hono/jsx */
import {plainLine} from '../../../core/text/plain-line.ts'
import {formatElapsed} from '../../../core/text/times.ts'
import {isFinal} from '../../../protocol/schemas.ts'
import {pathOf} from '../../http/page-rights.ts'
import type {TaskDetails} from '../data/task-details.ts'
import {Card, CodebaseLink, Line, took, When} from './parts.tsx'
import {amount, money} from './text.ts'

/** What is known about a task. */
export function Facts({task}: {task: TaskDetails}) {
  const {by, now} = task
  const usage = isFinal(task.status) ? task.usage : null // of the attempt before
  const spent = usage ?? (task.spent && task.spent.input + task.spent.output > 0 ? task.spent : null)
  const tokens = spent ? `${amount(spent.input)} in, ${amount(spent.output)} out` : null
  const rows: [string, unknown][] = [
    ['Codebase', <CodebaseLink codebase={task.codebase} />],
    ['Worker', task.worker && <Line text={task.worker} max={100} />],
    ['Agent', <Line text={[task.program, task.agent].filter(Boolean).join(' · ')} max={60} />],
    ['Model', (usage?.model ?? task.model) && <Line text={usage?.model ?? task.model ?? ''} max={200} />],
    ['Attempt', task.attempt > 1 ? attemptText(task) : null],
    ['Priority', task.priority === 0 ? null : task.priority],
    ['Took', usage?.duration_ms == null ? (took(task, now) ?? null) : formatElapsed(usage.duration_ms)],
    ['Tokens', tokens],
    ['Cost', spent ? `${money(spent.cost)}${usage ? '' : ' so far'}` : null],
    ['Created', withName(<When time={task.created_at} now={now} />, by.created)],
    ['Started', task.started_at && <When time={task.started_at} now={now} />],
    ['Ended', task.completed_at && <When time={task.completed_at} now={now} />],
    ['Cancelled by', by.cancelled && plainLine(by.cancelled, 60)],
    ['Retried by', by.retried && plainLine(by.retried, 60)],
    ['Session', task.session && sessionLink(task)],
    ['Id', <code class="whole">{task.id}</code>],
  ]
  return (
    <Card title="Details">
      <dl class="facts">
        {rows
          .filter(([, value]) => value !== null && value !== undefined && value !== '')
          .map(([name, value]) => (
            <div>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
      </dl>
    </Card>
  )
}

const attemptText = ({attempt, returns}: TaskDetails) =>
  returns > 0 ? `${attempt} (${returns} never began, for a reason of the machine)` : String(attempt)

const withName = (time: unknown, name: string | null) => (name ? [time, ` by ${plainLine(name, 40)}`] : time)

const sessionLink = ({session, codebase}: TaskDetails) => (
  <a href={pathOf('session', {codebase: codebase.id, session: session ?? ''})}>
    <code>{plainLine(session ?? '', 40)}</code>
  </a>
)
