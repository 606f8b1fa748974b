import type {Context, Hono} from 'hono'
import {routes} from '../../protocol/routes.ts'
import {registerCodebaseSchema} from '../../protocol/schemas.ts'
import {named} from '../http/auth.ts'
import {HttpError} from '../http/http-error.ts'
import {readBody} from '../http/body.ts'
import {tokenNameOf} from '../http/peer.ts'
import {actAs} from './binding.ts'
import type {Position} from './codebase-events.ts'
import {followCodebase} from './codebase-events.ts'
import {listCodebases, shownCodebase} from './codebase-list.ts'
import {removeCodebase} from './codebase-removal.ts'
import type {AppEnv} from '../http/app-env.ts'
import {openEventStream} from '../streams/event-stream.ts'
import {recordContact} from '../tasks/heartbeats.ts'
import {asIs, pageOf} from '../http/paging.ts'
import type {Parts} from '../dispatch/parts.ts'
import {registerCodebase, requestRegistration} from './registration.ts'
import {wireCodebase} from './registry-view.ts'
import {idempotencyKeyOf} from '../tasks/task-requests.ts'

/** Routes of codebases. A worker registers its own; a client requests a registration or removes a codebase. */
export function codebaseRoutes(app: Hono<AppEnv>, parts: Parts): void {
  const {commits, store} = parts

  app.post(routes.codebases, async (c) => {
    const {worker_id: workerId, ...body} = await readBody(c, registerCodebaseSchema)
    const identity = c.get('identity')
    if (workerId === null) {
      if (identity?.scope === 'worker')
        throw new HttpError(403, `The token ${named(identity)}is a worker's: it registers only its own codebases`)
      const task = commits.write(() => requestRegistration(parts, body, idempotencyKeyOf(c)))
      const message = 'A worker that has this path will register it'
      return c.json({success: true, pending: true, task_id: task.id, message})
    }

    const codebase = commits.write(() => {
      actAs(c, parts, workerId)
      recordContact(parts, workerId)
      return registerCodebase(parts, workerId, body, tokenNameOf(c))
    })
    return c.json({success: true, codebase: wireCodebase(parts, codebase)})
  })

  const list = (c: Context<AppEnv>) => {
    const includeDuplicates = isTrue(c.req.query('include_duplicates'))
    const codebases = listCodebases(parts, {includeDuplicates, only: c.get('only')})
    return c.json(pageOf(c, codebases, ({registered_at, id}) => [registered_at ?? '', id], asIs))
  }
  app.get(routes.codebases, list)
  app.get(routes.codebaseList, list)

  app.get(routes.codebase, (c) => c.json(shownCodebase(parts, c.req.param('codebase'))))

  app.get(routes.codebaseStatus, (c) => {
    const id = c.req.param('codebase')
    // recent_messages come from an agent on the server's own machine; there is none
    return c.json({...shownCodebase(parts, id), tasks: store.tasks.counts(id), recent_messages: []})
  })

  app.get(routes.codebaseEvents, (c) => {
    const {id} = shownCodebase(parts, c.req.param('codebase'))
    const resumed = readPosition(c.req.header('last-event-id') ?? c.req.query('since'))
    return openEventStream(c, parts.openStreams, (stream) => {
      parts.hub.track(stream)
      followCodebase(parts, id, stream, resumed).catch((error: unknown) => {
        parts.log(`following codebase ${id} failed: ${String(error)}`)
        stream.close()
      })
    })
  })

  app.delete(routes.codebase, (c) => {
    commits.write(() => removeCodebase(parts, c.req.param('codebase'), tokenNameOf(c)))
    return c.json({success: true})
  })
}

const isTrue = (text: string | undefined) => ['true', '1', 'yes', 'on'].includes(text?.toLowerCase() ?? '')

/** Parses the id of an `output` event. Other ids hold no position. */
function readPosition(id: string | undefined): Position | undefined {
  const [, taskId, since] = /^(.+):(\d{1,15})$/.exec(id ?? '') ?? []
  return taskId === undefined ? undefined : {taskId, since: Number(since)}
}
