/** @jsxImportSource hono/jsx */
import {raw} from 'hono/html'
import {agentStateText} from '../../../protocol/agent-state.ts'
import {droppedText} from '../../../opencode/output/output-items.ts'
import {formatClock} from '../../../core/text/times.ts'
import {plainLine} from '../../../core/text/plain-line.ts'
import {isFinal} from '../../../protocol/schemas.ts'
import type {StoredInput} from '../../../protocol/task-input.ts'
import {pathOf} from '../../http/page-rights.ts'
import type {Regions} from '../data/regions.ts'
import {shownChars, type TaskDetails} from '../data/task-details.ts'
import type {Viewer} from '../data/viewer.ts'
import {Question, SayForm} from './dialogue.tsx'
import {html, page, Region, type Page} from './layout.tsx'
import {Badge, Card, Line, Status, Waiting, When} from './parts.tsx'
import {Facts} from './task-facts.tsx'
import {amount, shortText} from './text.ts'

/** Output that is on the page from the start. `have` tells the control plane that the browser has it. */
export type FirstOutput = {html: string; have: string}

export function taskPage(viewer: Viewer, task: TaskDetails, {html: output, have}: FirstOutput): Page {
  const regions = taskRegions(viewer, task)
  return page({
    ...{title: task.title, viewer, nav: 'tasks', live: pathOf('task', {task: task.id}, {have})},
    children: (
      <>
        <Region id="head" regions={regions} class="headline" />
        <Region id="questions" regions={regions} isSpoken />
        <div class="columns task">
          <div class="wide">
            <Card
              title="Output"
              class="terminal"
              aside={
                <span class="tools">
                  <label class="follow" hidden>
                    <input type="checkbox" id="follow" checked /> Follow
                  </label>
                  <a href={pathOf('rawOutput', {task: task.id})}>Show all</a>
                </span>
              }
            >
              <Region id="dropped" regions={regions} />
              <div id="output" class="output" tabindex={0} role="log" aria-live="off" aria-label="Output of the task">
                {raw(output)}
              </div>
              <Region id="silent" regions={regions} />
            </Card>
            <Region id="say" regions={regions} />
          </div>
          <div class="side">
            <Region id="facts" regions={regions} />
            <Prompt task={task} />
            <Region id="inputs" regions={regions} />
          </div>
        </div>
      </>
    ),
  })
}

/** The parts of the page of a task that change, besides its output. */
export const taskRegions = (viewer: Viewer, task: TaskDetails): Regions => ({
  head: html(<Head task={task} viewer={viewer} />),
  questions: html(
    <>
      {task.questions.map((question) => (
        <Question question={question} task={task} viewer={viewer} />
      ))}
    </>,
  ),
  facts: html(<Facts task={task} />),
  dropped: task.droppedBytes > 0 ? html(<p class="note">{droppedText(task.droppedBytes)}</p>) : '',
  silent: html(<Silence task={task} />),
  say: html(<SayForm task={task} viewer={viewer} />),
  inputs: html(<Inputs inputs={task.inputs} now={task.now} />),
})

function Head({task, viewer}: {task: TaskDetails; viewer: Viewer}) {
  const isOver = isFinal(task.status)
  const button = (to: 'cancel' | 'retry', text: string, kind: string) => (
    <form method="post" action={pathOf(to, {task: task.id})}>
      <button class={kind}>{text}</button>
    </form>
  )
  return (
    <>
      <div class="headline-text">
        <h1>
          <Line text={task.title} max={1000} />
        </h1>
        <p class="sub">
          <span aria-live="polite">
            <Status task={task} />
          </span>{' '}
          <Reason task={task} />
        </p>
      </div>
      {viewer.mayManage ? (
        <div class="actions">
          {isOver ? button('retry', 'Retry', 'quiet') : null}
          {isOver || task.isCancelling ? null : button('cancel', 'Cancel task', 'danger')}
        </div>
      ) : null}
      {task.error === null ? null : <pre class="failure">{shortText(task.error, shownChars)}</pre>}
    </>
  )
}

/** What the task waits for, or what its agent does. */
function Reason({task}: {task: TaskDetails}) {
  if (task.asks) return null
  if (task.waiting !== null) return <Waiting text={task.waiting} />
  if (task.doing === null) return null
  return (
    <>
      <Line text={agentStateText(task.doing)} max={200} />, {formatClock(task.doing.for_ms)}
    </>
  )
}

/** Instead of output, while there is none. */
function Silence({task}: {task: TaskDetails}) {
  if (task.hasOutput) return null
  const text = task.status === 'running' ? 'The agent has printed nothing yet.' : 'There is no output.'
  const isWaiting = task.status === 'pending' || task.status === 'assigned'
  return (
    <>
      <p class="empty">{isWaiting ? 'The task has not begun.' : text}</p>
      {task.result === null ? null : <pre class="lines">{shortText(task.result, shownChars)}</pre>}
    </>
  )
}

function Prompt({task}: {task: TaskDetails}) {
  const isCut = task.promptChars > shownChars
  return (
    <Card title="Prompt">
      <div class="prompt" tabindex={0} role="group" aria-label="Prompt">
        {shortText(task.prompt, shownChars)}
      </div>
      {isCut ? (
        <p class="more">
          <a href={pathOf('rawOutput', {task: task.id}, {part: 'prompt'})}>
            Show all {amount(task.promptChars)} characters
          </a>
        </p>
      ) : null}
    </Card>
  )
}

const states = {stored: 'pending', delivered: 'completed', refused: 'failed', unknown: 'cancelled'} as const

/** What people have said to the task, and what became of it. */
function Inputs({inputs, now}: {inputs: readonly StoredInput[]; now: number}) {
  if (inputs.length === 0) return null
  return (
    <Card title="Said to the task">
      <ul class="inputs">
        {inputs.map((input) => (
          <li>
            <span>
              <Line text={input.option ?? input.text ?? ''} max={280} />
            </span>
            <small>
              <Badge kind={states[input.state]} text={input.state} />{' '}
              {input.created_by ? `${plainLine(input.created_by, 40)}, ` : ''}
              <When time={input.created_at} now={now} />
              {input.next_task ? <a href={pathOf('task', {task: input.next_task})}> next task</a> : null}
              {input.reason && !input.next_task ? <Line text={`: ${input.reason}`} max={200} /> : null}
            </small>
          </li>
        ))}
      </ul>
    </Card>
  )
}
