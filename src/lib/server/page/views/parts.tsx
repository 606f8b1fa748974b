/** @jsxImportSource hono/jsx */
import type {Child} from 'hono/jsx'
import {parseTime} from '../../../core/clock.ts'
import {plainLine} from '../../../core/text/plain-line.ts'
import {age, formatElapsed} from '../../../core/text/times.ts'
import {pathOf} from '../../http/page-rights.ts'
import {signedOnlyText} from '../data/signed-only.ts'
import type {TaskRow} from '../data/task-rows.ts'
import {money, shortId} from './text.ts'

/** The state of a task: a word with a sign, never a colour alone. */
export function Status({task}: {task: Pick<TaskRow, 'status' | 'asks' | 'isLost' | 'isCancelling'>}) {
  const {status} = task
  if (task.asks) return <Badge kind="asks" text="needs an answer" />
  if (task.isCancelling) return <Badge kind="cancelled" text="cancelling" />
  if (task.isLost) return <Badge kind="failed" text="worker lost" />
  return <Badge kind={status} text={status === 'pending' ? 'waiting' : status} />
}

export const Badge = ({kind, text}: {kind: string; text: string}) => (
  <span class={`badge ${kind}`}>
    <span class="dot" aria-hidden="true" />
    {text}
  </span>
)

const maxHint = 1000

/** Foreign text as one line, in a direction of its own. If it is cut, the pointer shows more of it. */
export function Line({text, max = 160}: {text: string; max?: number}) {
  const shown = plainLine(text, max)
  return <bdi title={shown.length < max ? undefined : plainLine(text, maxHint)}>{shown}</bdi>
}

export function When({time, now}: {time: string | null; now: number}) {
  const ms = parseTime(time)
  if (time === null || ms === undefined) return <span class="none">–</span>
  const text = now - ms < 10_000 ? 'now' : `${age(ms, now)} ago`
  return (
    <time datetime={time} title={time}>
      {text}
    </time>
  )
}

/** How long a task has run, or runs already. */
export function took({started_at, completed_at, status}: TaskRow, now: number): string | undefined {
  const from = parseTime(started_at)
  const to = status === 'running' ? now : parseTime(completed_at)
  if (from === undefined || to === undefined) return undefined
  const ms = Math.max(0, to - from)
  return status === 'running' ? age(now - ms, now) : formatElapsed(ms)
}

type TableOptions = {rows: readonly TaskRow[]; now: number; label: string; omits?: readonly 'codebase'[]}

/** Tasks as a table. On a narrow screen each row is a block. */
export function TaskTable({rows, now, label, omits = []}: TableOptions) {
  return (
    <table class="tasks" aria-label={label}>
      <thead>
        <tr>
          <th scope="col">Task</th>
          <th scope="col">State</th>
          {omits.includes('codebase') ? null : <th scope="col">Codebase</th>}
          <th scope="col">Worker</th>
          <th scope="col" class="number">
            Took
          </th>
          <th scope="col" class="number">
            Cost
          </th>
          <th scope="col" class="number">
            Created
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr id={`task-${row.id}`}>
            <td class="title">
              <a href={pathOf('task', {task: row.id})}>
                <Line text={row.title} max={140} />
              </a>
              <code class="id">{shortId(row.id)}</code>
              <Why row={row} />
            </td>
            <td>
              <Status task={row} />
            </td>
            {omits.includes('codebase') ? null : (
              <td data-label="Codebase">
                <CodebaseLink codebase={row.codebase} kind="plain" />
              </td>
            )}
            <td data-label="Worker">
              {row.worker === null ? <span class="none">–</span> : <Line text={row.worker} max={40} />}
            </td>
            <td class="number" data-label="Took">
              {took(row, now) ?? <span class="none">–</span>}
            </td>
            <td class="number" data-label="Cost">
              {row.cost ? money(row.cost) : <span class="none">–</span>}
            </td>
            <td class="number" data-label="Created">
              <When time={row.created_at} now={now} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** The name of a codebase, with a link if there is such a codebase. */
export function CodebaseLink({codebase: {id, name, isKnown}, kind}: {codebase: TaskRow['codebase']; kind?: string}) {
  const text = <Line text={name} max={60} />
  if (!isKnown) return text
  return (
    <a class={kind} href={pathOf('codebase', {codebase: id})}>
      {text}
    </a>
  )
}

/** Why a task waits, or why it has failed. */
function Why({row}: {row: TaskRow}) {
  const text = row.waiting ?? row.error
  if (text === null) return null
  return (
    <span class={`why${row.asks ? ' asks' : row.status === 'failed' ? ' failed' : ''}`}>
      {row.waiting === null || row.asks ? <Line text={text} max={160} /> : <Waiting text={text} />}
    </span>
  )
}

/** What a task waits for. If that is another task, a link leads to it. */
export function Waiting({text}: {text: string}) {
  const [before = '', id, after = ''] = text.split(/\b([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12})\b/)
  return (
    <>
      <Line text={before} max={300} />{' '}
      {id === undefined ? null : <a href={pathOf('task', {task: id})}>{shortId(id)}</a>}
      <Line text={after} max={100} />
    </>
  )
}

type CardOptions = {title: string; id?: string; aside?: Child; children: Child; class?: string}

/** A part of a page with a heading. */
export const Card = ({title, aside, children, class: name = ''}: CardOptions) => (
  <section class={`card ${name}`}>
    <div class="head">
      <h2>{title}</h2>
      {aside}
    </div>
    {children}
  </section>
)

/** In place of a form, where the worker takes only what is signed. */
export const SignedOnly = ({command}: {command: string}) => (
  <div class="padded">
    <p>{signedOnlyText}</p>
    <pre class="command" tabindex={0} aria-label="Command">
      {command}
    </pre>
  </div>
)

export const Empty = ({children}: {children: Child}) => <p class="empty">{children}</p>
