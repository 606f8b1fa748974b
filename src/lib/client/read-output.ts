import type {OutputChunk} from '../protocol/schemas.ts'
import type {ControlPlaneClient} from './control-plane.ts'

/**
 * All output that there is from cursor `since`, page by page; answers with the cursor behind it. A server without
 * cursors answers a question past its end with everything again, so such an answer is not looked at.
 */
export async function readOutput(
  client: ControlPlaneClient,
  taskId: string,
  take: (chunk: OutputChunk) => void,
  since = 0,
  signal?: AbortSignal,
): Promise<number> {
  for (let next = since; ;) {
    const page = await client.outputPage(taskId, next, signal)
    if (page.total <= next || page.outputs.length === 0) return next
    for (const chunk of page.outputs) take(chunk)
    next = page.next ?? next + page.outputs.length
  }
}
