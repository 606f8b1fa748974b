/** @jsxImportSource hono/jsx */
import {counted} from '../../../core/text/counted.ts'
import {pathOf} from '../../http/page-rights.ts'
import {pageSize, type CodebaseList} from '../data/codebases.ts'
import type {Viewer} from '../data/viewer.ts'
import {page, type Page} from './layout.tsx'
import {Badge, Card, Empty, Line} from './parts.tsx'

export function codebasesPage(viewer: Viewer, list: CodebaseList): Page {
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

/** Whether a worker serves a codebase now. */
export const Served = ({isServed, status}: {isServed: boolean; status: string}) =>
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
            <input
              name="path"
              required
              maxlength={4096}
              pattern="\s*/.*"
              title="The whole path, from / on"
              placeholder="/srv/app"
            />
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
