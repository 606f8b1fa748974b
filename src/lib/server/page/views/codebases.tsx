/** @jsxImportSource hono/jsx */
import {counted} from '../../../core/text/counted.ts'
import {plainLine} from '../../../core/text/plain-line.ts'
import {pathOf} from '../../http/page-rights.ts'
import {pageSize, type CodebaseDetails, type CodebaseList} from '../data/codebases.ts'
import type {Regions} from '../data/regions.ts'
import type {Viewer} from '../data/viewer.ts'
import {html, page, Region} from './layout.tsx'
import {Badge, Card, Empty, Line, TaskTable, When} from './parts.tsx'
import {amount} from './text.ts'

export function codebasesPage(viewer: Viewer, list: CodebaseList): string {
  const {codebases, total, page: number} = list
  const shown = number * pageSize + codebases.length
  return page({
    ...{title: 'Codebases', viewer, nav: 'codebases'},
    children: (
      <>
        <div class="headline">
          <h1>Codebases</h1>
        </div>
        <Card title={counted(total, 'codebase')}>
          {codebases.length === 0 ? <Empty>No codebase is registered here.</Empty> : <CodebaseTable list={list} />}
        </Card>
        <nav class="paging" aria-label="Pages of the list">
          {number > 0 ? <a href={pathOf('codebases', {}, {page: String(number - 1)})}>Previous</a> : null}
          {shown < total ? <a href={pathOf('codebases', {}, {page: String(number + 1)})}>Next</a> : null}
        </nav>
        {viewer.mayManage ? <Register list={list} /> : null}
      </>
    ),
  })
}

const CodebaseTable = ({list: {codebases}}: {list: CodebaseList}) => (
  <table aria-label="Codebases">
    <thead>
      <tr>
        <th scope="col">Name</th>
        <th scope="col">State</th>
        <th scope="col">Worker</th>
        <th scope="col">Path</th>
      </tr>
    </thead>
    <tbody>
      {codebases.map(({id, name, served, status, worker, hostname, path}) => (
        <tr>
          <td class="title">
            <a href={pathOf('codebase', {codebase: id})}>
              <Line text={name} max={80} />
            </a>
          </td>
          <td>
            <Served isServed={served === true} status={status} />
          </td>
          <td data-label="Worker">
            {worker === null ? <span class="none">–</span> : <Line text={worker} max={40} />}{' '}
            {hostname === null ? null : (
              <small>
                <Line text={hostname} max={40} />
              </small>
            )}
          </td>
          <td data-label="Path">
            <code>
              <Line text={path} max={200} />
            </code>
          </td>
        </tr>
      ))}
    </tbody>
  </table>
)

const Served = ({isServed, status}: {isServed: boolean; status: string}) =>
  isServed ? (
    <Badge
      kind={status === 'running' ? 'running' : 'completed'}
      text={status === 'running' ? 'a task runs' : 'served'}
    />
  ) : (
    <Badge kind="cancelled" text="no worker now" />
  )

/** Registers a path, or says how to start a worker if none could do that. */
function Register({list: {workers, address}}: {list: CodebaseList}) {
  const start = (
    <pre
      class="command"
      tabindex={0}
      aria-label="Command"
    >{`a2a-worker start --server ${address} --codebase /path/to/code`}</pre>
  )
  if (workers === 0)
    return (
      <Card title="Register a codebase">
        <div class="padded">
          <p>No worker is connected that could register a path. Start one on the machine that has the code:</p>
          {start}
        </div>
      </Card>
    )
  return (
    <Card title="Register a codebase">
      <form method="post" action={pathOf('codebases')} class="form">
        <p class="note">
          A connected worker that has this path, and may serve it, registers it. A worker serves paths below its
          registration roots.
        </p>
        <div class="row">
          <label>
            <span>Path on the machine of the worker</span>
            <input name="path" required maxlength={4096} placeholder="/srv/app" />
          </label>
          <label>
            <span>
              Name <small>(default: the last part of the path)</small>
            </span>
            <input name="name" maxlength={200} />
          </label>
        </div>
        <button class="primary">Register</button>
        <details>
          <summary>The code is on a machine without a worker</summary>
          {start}
        </details>
      </form>
    </Card>
  )
}

export function codebasePage(viewer: Viewer, details: CodebaseDetails): string {
  const {codebase, nextSessions} = details
  const regions = codebaseRegions(viewer, details)
  return page({
    ...{title: codebase.name, viewer, nav: 'codebases', live: pathOf('codebase', {codebase: codebase.id})},
    children: (
      <>
        <div class="headline">
          <div class="headline-text">
            <h1>
              <Line text={codebase.name} max={200} />
            </h1>
            <Region id="state" regions={regions} class="sub" />
          </div>
          {viewer.mayManage ? (
            <div class="actions">
              <a class="button" href={pathOf('newTask', {}, {codebase: codebase.id})}>
                New task here
              </a>
            </div>
          ) : null}
        </div>
        <Region id="tasks" regions={regions} />
        <Sessions details={details} />
        <nav class="paging" aria-label="Pages of the sessions">
          {nextSessions === undefined ? null : <a href={nextSessions}>Older sessions</a>}
        </nav>
      </>
    ),
  })
}

/** The parts of the page of a codebase that change. */
export const codebaseRegions = (_viewer: Viewer, {codebase, worker, counts, tasks, now}: CodebaseDetails): Regions => ({
  state: html(
    <p>
      <Served isServed={codebase.served === true} status={codebase.status} />{' '}
      {codebase.path === '' ? null : (
        <code>
          <Line text={codebase.path} max={300} />
        </code>
      )}{' '}
      {worker === null ? null : <>on worker {plainLine(worker, 60)}</>}
    </p>,
  ),
  tasks: html(
    <Card
      title="Newest tasks"
      aside={
        <a href={pathOf('tasks', {}, {codebase: codebase.id})}>
          {counts ? `All ${amount(Object.values(counts).reduce((sum, n) => sum + n, 0))}` : 'All'}
        </a>
      }
    >
      {tasks.length === 0 ? (
        <Empty>There is no task yet.</Empty>
      ) : (
        <TaskTable rows={tasks} now={now} label="Newest tasks" omits={['codebase']} />
      )}
    </Card>,
  ),
})

function Sessions({details: {codebase, sessions, now}}: {details: CodebaseDetails}) {
  return (
    <Card title="Sessions">
      {sessions.length === 0 ? (
        <Empty>No session is known. Workers send those of OpenCode once a minute.</Empty>
      ) : (
        <table aria-label="Sessions">
          <thead>
            <tr>
              <th scope="col">Session</th>
              <th scope="col" class="number">
                Messages
              </th>
              <th scope="col" class="number">
                Changed
              </th>
            </tr>
          </thead>
          <tbody>
            {sessions.map(({id, title, messageCount, updated}) => (
              <tr>
                <td class="title">
                  <a href={pathOf('session', {codebase: codebase.id, session: id})}>
                    <Line text={title || id} max={140} />
                  </a>
                </td>
                <td class="number" data-label="Messages">
                  {messageCount ?? '–'}
                </td>
                <td class="number" data-label="Changed">
                  <When time={updated} now={now} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Card>
  )
}
