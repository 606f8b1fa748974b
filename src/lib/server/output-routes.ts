import {RESPONSE_ALREADY_SENT} from '@hono/node-server/utils/response'
import type {Hono} from 'hono'
import {once} from 'node:events'
import type {ServerResponse} from 'node:http'
import {limits} from '../protocol/limits.ts'
import {routes} from '../protocol/routes.ts'
import {isFinal, outputSchema, rawOutputQuerySchema} from '../protocol/schemas.ts'
import {encodeComment, encodeEvent} from '../protocol/sse.ts'
import {sseHeaders} from './hub.ts'
import type {Plane} from './plane.ts'
import {asWorker, check, readBytes, readJson, type Ctx, type Env} from './requests.ts'

const pageBytes = 1024 * 1024

/** What agents print: in from workers, out by pages and as a stream. */
export function outputRoutes(app: Hono<Env>, plane: Plane): void {
  app.post(routes.taskOutput, async (c) => {
    const raw = c.req.header('content-type')?.startsWith('application/x-ndjson') ?? false
    const next = raw ? await storeRaw(c, plane) : await storeJson(c, plane)
    return c.json({success: true, next})
  })

  app.get(routes.taskOutput, (c) => {
    const {id} = plane.task(c.req.param('task') ?? '')
    const since = Math.max(0, Number.parseInt(c.req.query('since') ?? '0', 10) || 0)
    const chunks = plane.output.read(id, since, pageBytes)
    const outputs = chunks.map(({seq: _, ...chunk}) => chunk)
    return c.json({task_id: id, outputs, total: plane.output.total(id), next: since + outputs.length, truncated: false})
  })

  app.get(routes.taskOutputStream, (c) => {
    const {id} = plane.task(c.req.param('task') ?? '')
    const since = Number.parseInt(c.req.header('last-event-id') ?? c.req.query('since') ?? '0', 10) || 0
    void follow(plane, id, Math.max(0, since), c.env.outgoing as ServerResponse)
    return RESPONSE_ALREADY_SENT
  })
}

async function storeRaw(c: Ctx, plane: Plane): Promise<number> {
  const {worker_id: workerId, attempt, offset, length} = check(rawOutputQuerySchema, c.req.query(), 'query')
  const data = await readBytes(c, limits.outputBody)
  return plane.append({
    taskId: c.req.param('task') ?? '',
    workerId: asWorker(c, workerId),
    attempt,
    offset,
    length,
    data,
  })
}

async function storeJson(c: Ctx, plane: Plane): Promise<number> {
  const {worker_id: workerId, output, attempt, offset, length} = await readJson(c, outputSchema, limits.outputBody)
  const data = Buffer.from(output)
  return plane.append({
    taskId: c.req.param('task') ?? '',
    workerId: asWorker(c, workerId),
    attempt: attempt ?? null,
    offset: offset ?? null,
    length: length ?? data.length,
    data,
  })
}

/** Sends everything from cursor `since`, then what comes, then `done`. Reads no further than the reader takes. */
async function follow(plane: Plane, taskId: string, since: number, response: ServerResponse): Promise<void> {
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  response.writeHead(200, sseHeaders)
  response.write(encodeComment('output'))
  const keepAlive = setInterval(() => response.write(encodeComment('keep-alive')), plane.timings.keepAliveMs)
  let cursor = since
  try {
    while (!gone.signal.aborted && !plane.followers.closed) {
      const chunks = plane.output.read(taskId, cursor, pageBytes)
      const status = plane.store.task(taskId)?.status ?? 'failed'
      for (const {seq, ...chunk} of chunks) {
        cursor = seq + 1
        if (!response.write(encodeEvent({event: 'output', data: JSON.stringify(chunk), id: String(cursor)})))
          await once(response, 'drain', {signal: gone.signal})
      }

      if (chunks.length > 0) continue
      if (isFinal(status)) {
        response.write(encodeEvent({event: 'done', data: JSON.stringify({status})}))
        return
      }

      await plane.followers.wait(taskId, gone.signal)
    }
  } catch (error) {
    // The reader left while we waited for it.
    if (!gone.signal.aborted) throw error
  } finally {
    clearInterval(keepAlive)
    response.end()
  }
}
