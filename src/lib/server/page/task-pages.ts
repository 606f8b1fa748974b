import {createHash} from 'node:crypto'
import type {Hono} from 'hono'
import {isFinal} from '../../protocol/schemas.ts'
import type {AppEnv} from '../http/app-env.ts'
import {pagePaths} from '../http/page-rights.ts'
import type {MonitorLog} from '../streams/monitor-log.ts'
import {serveLive, wantsEvents, type LiveOptions} from './live.ts'
import {newTaskForm} from './data/new-task.ts'
import {requireTask} from '../rules/dispatch/required.ts'
import {OutputFeed} from './data/output-feed.ts'
import {rawOutput} from './raw-output.ts'
import {loadViews, respond} from './respond.ts'
import {taskList} from './data/task-list.ts'
import {taskDetails} from './data/task-details.ts'
import {viewerOf} from './data/viewer.ts'

/** How often the page of a task looks at what its agent does: heartbeats tell it. */
const taskMs = 1500
/** The same for the list of tasks. */
const listMs = 5000
/** The pages of tasks. */
export function taskPages(app: Hono<AppEnv>, options: LiveOptions & {monitor: MonitorLog}): void {
  const {plane, following, monitor} = options
  app.get(pagePaths.tasks, async (c) => {
    const {taskListPage, taskListRegions} = await loadViews()
    const viewer = viewerOf(c)
    const list = () => taskList(plane, viewer, c.req.query())
    if (!wantsEvents(c)) return respond(c, taskListPage(viewer, list()))
    return serveLive(c, options, {
      regions: () => taskListRegions(viewer, list()),
      follow: (notice) => monitor.follow(notice),
      everyMs: listMs,
      pauseMs: 1000,
    })
  })

  app.get(pagePaths.newTask, async (c) => {
    const {newTaskPage} = await loadViews()
    const viewer = viewerOf(c)
    return respond(c, newTaskPage(viewer, newTaskForm(plane, viewer, {codebase: c.req.query('codebase') ?? ''})))
  })

  app.get(pagePaths.rawOutput, (c) => rawOutput(c, plane))

  app.get(pagePaths.task, async (c) => {
    const id = c.req.param('task')
    const viewer = viewerOf(c)
    const {taskPage, taskRegions, outputHtml} = await loadViews()
    requireTask(plane.state, id) // throws 404 before anything is sent
    const feed = new OutputFeed(plane, id)
    const details = () => taskDetails(plane, id, viewer, feed.spent)
    const items = feed.takeAll()
    const first = details()
    const shown = outputHtml(items, {taskId: id, isTail: feed.isTail})
    const have = createHash('sha256').update(shown).digest('hex').slice(0, 16)
    if (!wantsEvents(c)) return respond(c, taskPage(viewer, first, {html: shown, have}))
    let isFirst = true
    return serveLive(c, options, {
      regions: () => taskRegions(viewer, details()),
      follow: (notice) => following.hub.follow(id, notice),
      everyMs: isFinal(first.status) ? 10 * taskMs : taskMs,
      pauseMs: 150,
      output() {
        if (isFirst) {
          isFirst = false
          if (c.req.query('have') !== have) return {html: shown, isAll: true}
        }
        const html = outputHtml(feed.take(), {taskId: id, isTail: false})
        return html === '' ? undefined : {html, isAll: false}
      },
    })
  })
}
