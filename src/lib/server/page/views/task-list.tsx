/** @jsxImportSource hono/jsx */
import {taskStatuses} from '../../../protocol/schemas.ts'
import {plainLine} from '../../../core/text/plain-line.ts'
import {pathOf} from '../../http/page-rights.ts'
import type {TaskList} from '../data/task-list.ts'
import type {Viewer} from '../data/viewer.ts'
import type {Regions} from '../data/regions.ts'
import {html, page, Region, type Page} from './layout.tsx'
import {Card, Empty, TaskTable} from './parts.tsx'

export function taskListPage(viewer: Viewer, list: TaskList): Page {
  const {next, isFirst, query} = list
  const regions = taskListRegions(viewer, list)
  const live = isFirst && query.q === '' ? pathOf('tasks', {}, query) : undefined
  return page({
    ...{title: 'Tasks', viewer, nav: 'tasks'},
    ...(live === undefined ? {} : {live}),
    children: (
      <>
        <div class="headline">
          <h1>Tasks</h1>
        </div>
        <Filter list={list} />
        <Region id="rows" regions={regions} />
        <nav class="paging" aria-label="Pages of the list">
          {isFirst ? null : <a href={pathOf('tasks', {}, query)}>Newest</a>}
          {next === undefined ? null : (
            <a href={next} rel="next">
              Older tasks
            </a>
          )}
        </nav>
      </>
    ),
  })
}

/** The part of the list that changes. */
export const taskListRegions = (viewer: Viewer, list: TaskList): Regions => ({
  rows: html(<Rows list={list} viewer={viewer} />),
})

function Rows({list: {rows, now, query}, viewer}: {list: TaskList; viewer: Viewer}) {
  const isFiltered = Boolean(query.status || query.codebase || query.q)
  return (
    <Card title={isFiltered ? 'Found tasks, newest first' : 'All tasks, newest first'}>
      {rows.length === 0 ? (
        <Empty>
          {isFiltered ? 'No task is like that. ' : 'There is no task yet. '}
          {viewer.mayManage && !isFiltered ? <a href={pathOf('newTask')}>Create the first one</a> : null}
        </Empty>
      ) : (
        <TaskTable rows={rows} now={now} label="Tasks" />
      )}
    </Card>
  )
}

function Filter({list: {query, codebases}}: {list: TaskList}) {
  return (
    <form method="get" action={pathOf('tasks')} class="filter" role="search">
      <label>
        <span>Title or id</span>
        <input type="search" name="q" value={query.q} maxlength={200} />
      </label>
      <label>
        <span>State</span>
        <select name="status">
          <option value="">any</option>
          {taskStatuses.map((status) => (
            <option value={status} selected={query.status === status}>
              {status === 'pending' ? 'waiting' : status}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span>Codebase</span>
        <select name="codebase">
          <option value="">any</option>
          {codebases.map(({id, name}) => (
            <option value={id} selected={query.codebase === id}>
              {plainLine(name, 60)}
            </option>
          ))}
        </select>
      </label>
      <button>Find</button>
    </form>
  )
}
