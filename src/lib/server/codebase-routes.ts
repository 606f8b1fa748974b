import type {Context, Hono} from 'hono'
import {routes} from '../protocol/routes.ts'
import {registerCodebaseSchema} from '../protocol/schemas.ts'
import {mayActAs, mayManageTasks} from './auth.ts'
import {readBody} from './body.ts'
import type {AppEnv} from './event-stream.ts'
import {notFound} from './http-error.ts'
import {seen} from './lease-keeper.ts'
import type {Parts} from './parts.ts'
import {registerCodebase, requestRegistration} from './registration.ts'
import {wireCodebase} from './registry-view.ts'

/** Codebases: a worker registers its own; anybody else asks for one to be registered. */
export function codebaseRoutes(app: Hono<AppEnv>, parts: Parts): void {
  const {commits, store} = parts

  app.post(routes.codebases, async (c) => {
    const {worker_id: workerId, ...body} = await readBody(c, registerCodebaseSchema)
    const identity = c.get('identity')
    if (workerId === null) {
      mayManageTasks(identity)
      const task = commits.write(() => requestRegistration(parts, body))
      const message = 'A worker that has this path will register it'
      return c.json({success: true, pending: true, task_id: task.id, message})
    }

    const codebase = commits.write(() => {
      mayActAs(identity, workerId, store.registry, {registers: true})
      seen(parts, workerId)
      return registerCodebase(parts, workerId, body)
    })
    return c.json({success: true, codebase: wireCodebase(parts, codebase)})
  })

  const list = (c: Context<AppEnv>) =>
    c.json(store.registry.codebases().map((codebase) => wireCodebase(parts, codebase)))
  app.get(routes.codebases, list)
  app.get(routes.codebaseList, list)

  app.get(routes.codebase, (c) => {
    const codebase = store.registry.codebase(c.req.param('codebase'))
    if (!codebase) throw notFound('Codebase not found')
    return c.json(wireCodebase(parts, codebase))
  })
}
