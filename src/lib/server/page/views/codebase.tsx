/** @jsxImportSource hono/jsx */
import {plainLine} from '../../../core/text/plain-line.ts'
import {pathOf} from '../../http/page-rights.ts'
import type {CodebaseDetails} from '../data/codebases.ts'
import type {Regions} from '../data/regions.ts'
import type {Viewer} from '../data/viewer.ts'
import {Served} from './codebases.tsx'
import {html, page, Region, type Page} from './layout.tsx'
import {Card, Empty, Line, TaskTable, When} from './parts.tsx'
import {amount} from './text.ts'

export function codebasePage(viewer: Viewer, details: CodebaseDetails): Page {
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
          <Line text={codebase.path} max={4096} />
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
