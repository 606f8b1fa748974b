import {randomBytes} from 'node:crypto'
import type {Context, Hono} from 'hono'
import type * as v from 'valibot'
import {routes} from '../../protocol/routes.ts'
import {registerCodebaseSchema} from '../../protocol/schemas.ts'
import {named} from '../http/auth.ts'
import {HttpError} from '../http/http-error.ts'
import {readBody} from '../http/body.ts'
import {tokenNameOf} from '../http/peer.ts'
import type {Position} from './codebase-events.ts'
import {followCodebase} from './codebase-events.ts'
import {listCodebases, shownCodebase} from './codebase-list.ts'
import type {AppEnv} from '../http/app-env.ts'
import {openEventStream} from '../streams/event-stream.ts'
import {asIs, pageOf} from '../http/paging.ts'
import type {Plane} from '../plane/plane.ts'
import {requestRegistration} from '../rules/tasks/create-task.ts'
import {registerCodebase, removeCodebase} from '../rules/registry/register-codebase.ts'
import type {StoredTask} from '../state/records.ts'
import type {Following} from '../streams/change-notices.ts'
import {wireCodebase} from './registry-view.ts'
import {newTaskOf} from '../tasks/task-requests.ts'

type Wanted = Omit<v.InferOutput<typeof registerCodebaseSchema>, 'worker_id'>

/** Asks the workers to register a path. The answer is the task that does so. */
export async function askForRegistration(c: Context<AppEnv>, plane: Plane, codebase: Wanted): Promise<StoredTask> {
  const identity = c.get('identity')
  if (identity?.scope === 'worker')
    throw new HttpError(403, `The token ${named(identity)}is a worker's: it registers only its own codebases`)
  return plane.run(requestRegistration, {...newTaskOf(c), codebase})
}

/** Routes of codebases. A worker registers its own; a client requests a registration or removes a codebase. */
export function codebaseRoutes(app: Hono<AppEnv>, {plane, following}: {plane: Plane; following: Following}): void {
  app.post(routes.codebases, async (c) => {
    const {worker_id: workerId, ...body} = await readBody(c, registerCodebaseSchema)
    if (workerId === null) {
      const task = await askForRegistration(c, plane, body)
      const message = 'A worker that has this path will register it'
      return c.json({success: true, pending: true, task_id: task.id, message})
    }

    const registration = {worker_id: workerId, codebase: body, ids: Array.from({length: 4}, newCodebaseId)}
    const codebase = await plane.run(registerCodebase, {
      ...registration,
      identity: c.get('identity'),
      by: tokenNameOf(c),
    })
    return c.json({success: true, codebase: wireCodebase(plane.state, codebase)})
  })

  const list = (c: Context<AppEnv>) => {
    const includeDuplicates = isTrue(c.req.query('include_duplicates'))
    const codebases = listCodebases(plane.state, {includeDuplicates, only: c.get('only')})
    return c.json(pageOf(c, codebases, ({registered_at, id}) => [registered_at ?? '', id], asIs))
  }
  app.get(routes.codebases, list)
  app.get(routes.codebaseList, list)

  app.get(routes.codebase, (c) => c.json(shownCodebase(plane.state, c.req.param('codebase'))))

  app.get(routes.codebaseStatus, (c) => {
    const id = c.req.param('codebase')
    // recent_messages come from an agent on the server's own machine; there is none
    return c.json({...shownCodebase(plane.state, id), tasks: plane.views.tasks.counts(id), recent_messages: []})
  })

  app.get(routes.codebaseEvents, (c) => {
    const {id} = shownCodebase(plane.state, c.req.param('codebase'))
    const resumed = readPosition(c.req.header('last-event-id') ?? c.req.query('since'))
    return openEventStream(c, following.openStreams, (stream) => {
      following.hub.track(stream)
      followCodebase({plane, following, codebaseId: id, stream}, resumed).catch((error: unknown) => {
        following.log(`following codebase ${id} failed: ${String(error)}`)
        stream.close()
      })
    })
  })

  app.delete(routes.codebase, async (c) => {
    await plane.run(removeCodebase, {codebase_id: c.req.param('codebase'), by: tokenNameOf(c)})
    return c.json({success: true})
  })
}

const newCodebaseId = () => randomBytes(4).toString('hex')

const isTrue = (text: string | undefined) => ['true', '1', 'yes', 'on'].includes(text?.toLowerCase() ?? '')

/** Parses the id of an `output` event. Other ids hold no position. */
function readPosition(id: string | undefined): Position | undefined {
  const [, taskId, since] = /^(.+):(\d{1,15})$/.exec(id ?? '') ?? []
  return taskId === undefined ? undefined : {taskId, since: Number(since)}
}
