import type {Task} from '../src/lib/protocol/schemas.ts'

export type Chunk = {output: string; attempt: number; offset: number | null}

/** A client that retries forever, because a control plane may be down at any time. It asks each in turn. */
export function planeClient(urls: readonly string[]) {
  let calls = 0
  const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    for (;;) {
      try {
        const url = urls[(calls += 1) % urls.length]
        const response = await fetch(`${url}${path}`, {
          method,
          headers: {'content-type': 'application/json', ...headers},
          signal: AbortSignal.timeout(10_000),
          ...(body === undefined ? {} : {body: JSON.stringify(body)}),
        })
        const answer = JSON.parse(await response.text())
        if (response.status < 500) return {status: response.status, body: answer}
      } catch {
        // the control plane is down, and will be restarted
      }

      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
  return {
    call,
    create: async (codebase: string, task: {title: string; prompt: string}, key: string): Promise<Task> => {
      const path = `/v1/opencode/codebases/${codebase}/tasks`
      const answer = await call('POST', path, task, {'idempotency-key': key})
      if (answer.status !== 200) throw new Error(`no task: ${answer.status} ${JSON.stringify(answer.body)}`)
      return answer.body.task
    },
    task: async (id: string): Promise<Task> => (await call('GET', `/v1/opencode/tasks/${id}`)).body,
    cancel: (id: string) => call('POST', `/v1/opencode/tasks/${id}/cancel`),
    output: async (id: string): Promise<Chunk[]> => {
      const all: Chunk[] = []
      for (let since = 0; ;) {
        const {body} = await call('GET', `/v1/opencode/tasks/${id}/output?since=${since}`)
        all.push(...body.outputs)
        if (body.outputs.length === 0 || body.next >= body.total) return all
        since = body.next
      }
    },
    codebases: async (): Promise<{id: string; path: string}[]> => (await call('GET', '/v1/opencode/codebases')).body,
  }
}

export type PlaneClient = ReturnType<typeof planeClient>
