import type {Context} from 'hono'
import type {AppEnv} from '../http/app-env.ts'
import type {Plane} from '../plane/plane.ts'
import {requireTask} from '../rules/dispatch/required.ts'

/** Characters read before the event loop gets a turn. */
const batchChars = 256 * 1024

const headers = {
  'content-type': 'text/plain; charset=utf-8',
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; sandbox",
  'cache-control': 'no-store',
}

/** All that is stored of a task's output, or its prompt, as plain text. It is read as fast as the browser takes it. */
export function rawOutput(c: Context<AppEnv>, plane: Plane): Response {
  const task = requireTask(plane.state, c.req.param('task') ?? '')
  if (c.req.query('part') === 'prompt') return c.body(task.prompt, 200, headers)
  if (c.req.query('part') === 'result') return c.body(task.result ?? '', 200, headers)
  const encoder = new TextEncoder()
  let next = task.output_first
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      const {text, after} = readBatch(plane, task.id, next)
      next = after
      if (text === '') controller.close()
      else controller.enqueue(encoder.encode(text))
    },
  })
  return c.body(stream, 200, headers)
}

function readBatch({views}: Plane, taskId: string, since: number): {text: string; after: number} {
  let text = ''
  let after = since
  for (const {seq, output} of views.output.read(taskId, since)) {
    text += output
    after = seq + 1
    if (text.length >= batchChars) break
  }
  return {text, after}
}
