import type {Context, Hono} from 'hono'
import {limits} from '../../protocol/limits.ts'
import {routes} from '../../protocol/routes.ts'
import type {OutputChunk} from '../../protocol/schemas.ts'
import {outputSchema, rawOutputQuerySchema} from '../../protocol/schemas.ts'
import {mayActAs} from '../http/auth.ts'
import {readBody, readBytes, readQuery} from '../http/body.ts'
import type {AppEnv} from '../http/app-env.ts'
import {openEventStream} from '../streams/event-stream.ts'
import {HttpError} from '../http/http-error.ts'
import {followOutput} from './output-follower.ts'
import type {Plane} from '../plane/plane.ts'
import {bindingsIn} from '../rules/registry/binding.ts'
import {takeOutput, type OutputInput} from '../rules/tasks/output.ts'
import {requireTask} from '../rules/dispatch/required.ts'
import type {Following} from '../streams/change-notices.ts'

const maxPageBytes = 1024 * 1024

/** Routes that store output, read it in pages and stream it. */
export function outputRoutes(app: Hono<AppEnv>, {plane, following}: {plane: Plane; following: Following}): void {
  app.post(routes.taskOutput, async (c) => {
    const input = isRaw(c) ? await readRaw(c) : await readBody(c, outputSchema, {maxBytes: limits.outputBody})
    mayActAs(c.get('identity'), input.worker_id, bindingsIn(plane.state))
    const next = await plane.run(takeOutput, {...input, task_id: c.req.param('task')})
    return c.json({success: true, next})
  })

  app.get(routes.taskOutput, (c) => {
    const task = requireTask(plane.state, c.req.param('task'))
    const since = position(c.req.query('since'))
    const page = readPage(plane, task.id, Math.max(since, task.output_first))
    return c.json({
      task_id: task.id,
      ...page,
      total: task.output_seq,
      truncated: since < task.output_first,
      dropped_bytes: task.output_lost,
    })
  })

  app.get(routes.taskOutputStream, (c) => {
    const task = requireTask(plane.state, c.req.param('task'))
    const since = position(c.req.header('last-event-id') ?? c.req.query('since'))
    return openEventStream(c, following.openStreams, (stream) => {
      following.hub.track(stream)
      followOutput(plane, following, {taskId: task.id, since, stream}).catch((error: unknown) => {
        following.log(`following the output of task ${task.id} failed: ${String(error)}`)
        stream.close()
      })
    })
  })
}

const isRaw = (c: Context<AppEnv>) => c.req.header('content-type')?.startsWith('application/x-ndjson') ?? false

/** Invalid UTF-8 becomes U+FFFD, as it does in the JSON form. */
async function readRaw(c: Context<AppEnv>): Promise<OutputInput> {
  const query = readQuery(c, rawOutputQuerySchema)
  const bytes = await readBytes(c, limits.outputBody)
  return {...query, output: bytes.toString('utf8'), timestamp: null}
}

/** A page contains whole pieces: at least one, and up to a megabyte. */
function readPage({views}: Plane, taskId: string, since: number): {outputs: OutputChunk[]; next: number} {
  const outputs: OutputChunk[] = []
  let next = since
  let bytes = 0
  for (const {seq, ...chunk} of views.output.read(taskId, since)) {
    bytes += Buffer.byteLength(chunk.output)
    if (outputs.length > 0 && bytes > maxPageBytes) break
    outputs.push(chunk)
    next = seq + 1
  }

  return {outputs, next}
}

function position(text: string | undefined): number {
  if (text === undefined || text === '') return 0
  const since = Number(text)
  if (!Number.isSafeInteger(since) || since < 0) throw new HttpError(400, 'since must be a number from 0 on')
  return since
}
