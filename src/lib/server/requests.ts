import type {HttpBindings} from '@hono/node-server'
import type {Context} from 'hono'
import * as v from 'valibot'
import {limits} from '../protocol/limits.ts'
import type {Caller} from './auth.ts'
import {Refusal} from './refusal.ts'

export type Env = {Bindings: HttpBindings; Variables: {caller: Caller}}
export type Ctx = Context<Env>

const tooLarge = (most: number) => new Refusal(413, `The body is over ${most} bytes`)

/** The body as bytes, at most `most` of them. Throws Refusal 413. */
export async function readBytes(c: Ctx, most: number): Promise<Buffer> {
  const announced = Number(c.req.header('content-length') ?? Number.NaN)
  if (announced > most) throw tooLarge(most)
  if (Number.isFinite(announced)) return Buffer.from(await c.req.arrayBuffer())
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of c.req.raw.body ?? []) {
    size += chunk.length
    if (size > most) throw tooLarge(most)
    chunks.push(chunk)
  }

  return Buffer.concat(chunks)
}

/** The body parsed by a schema. An empty one is `{}`. Throws Refusal 413, or 422 in the existing server's shape. */
export async function readJson<const S extends v.GenericSchema<unknown, unknown>>(
  c: Ctx,
  schema: S,
  most: number = limits.jsonBody,
): Promise<v.InferOutput<S>> {
  const text = (await readBytes(c, most)).toString('utf8')
  let value: unknown = {}
  if (text.trim() !== '') {
    try {
      value = JSON.parse(text)
    } catch (error) {
      const msg = `JSON decode error: ${(error as Error).message}`
      throw new Refusal(422, [{type: 'json_invalid', loc: ['body', 0], msg, input: {}}])
    }
  }

  return check(schema, value, 'body')
}

/** Throws Refusal 422 with a list of what is wrong where. */
export function check<const S extends v.GenericSchema<unknown, unknown>>(
  schema: S,
  value: unknown,
  place: string,
): v.InferOutput<S> {
  const parsed = v.safeParse(schema, value)
  if (parsed.success) return parsed.output
  const detail = parsed.issues.map((issue) => ({
    type: issue.received === 'undefined' ? 'missing' : `${issue.type}_type`,
    loc: [place, ...(issue.path ?? []).map(({key}) => key as string | number)],
    msg: issue.received === 'undefined' ? 'Field required' : issue.message,
    input: summary(issue.input),
  }))
  throw new Refusal(422, detail)
}

/** Never sends a large input back. */
const summary = (input: unknown) => (typeof input === 'object' ? null : String(input).slice(0, 100))

/** The worker that calls: the query wins over the headers, as on the existing server. Throws Refusal 400. */
export function callingWorker(c: Ctx): string {
  const id = c.req.query('worker_id') || c.req.header('x-worker-id') || c.req.header('worker_id')
  if (!id) throw new Refusal(400, 'worker_id is required (query param or X-Worker-ID header)')
  return asWorker(c, id)
}

/** A worker's token acts for that worker only. Throws Refusal 403. */
export function asWorker(c: Ctx, workerId: string): string {
  const {scope, workerId: own} = c.get('caller')
  if (scope === 'worker' && own !== undefined && own !== workerId)
    throw new Refusal(403, `This token belongs to worker ${own}, not to ${workerId}`)
  return workerId
}
