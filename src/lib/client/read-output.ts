import type {OutputChunk} from '../protocol/schemas.ts'
import type {ControlPlaneClient} from './control-plane.ts'

/**
 * Reads all output from cursor `since` on, page by page. Resolves with the cursor after it. A server without cursors
 * answers a request past the end with everything again, so that answer is ignored.
 */
export async function readOutput(
  client: ControlPlaneClient,
  taskId: string,
  onChunk: (chunk: OutputChunk) => void,
  since = 0,
  signal?: AbortSignal,
): Promise<number> {
  for (let next = since; ;) {
    const page = await client.outputPage(taskId, next, signal)
    if (page.total <= next || page.outputs.length === 0) return next
    for (const chunk of page.outputs) onChunk(chunk)
    next = page.next ?? next + page.outputs.length
  }
}
