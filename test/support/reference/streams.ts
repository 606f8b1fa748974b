import type {ServerResponse} from 'node:http'

export type Stream = {
  workerId: string
  agentName: string
  capabilities: string[]
  codebases: Set<string>
  currentTask: string | null
  connectedAt: Date
  response: ServerResponse
}

/** The open task streams and the claims of the workers, in memory, with the defects of the original. */
export class Streams {
  /** One stream per worker: the newest, unless an older one has ended meanwhile. */
  readonly entries = new Map<string, Stream>()
  readonly claims = new Map<string, string>()
  /** The ids of the tasks that were pushed, in order. */
  readonly pushed: string[] = []
  readonly #open = new Set<Stream>()
  readonly #heartbeatMs: number

  constructor(heartbeatMs: number) {
    this.#heartbeatMs = heartbeatMs
  }

  /** The number of open connections, including the forgotten ones. */
  get openCount(): number {
    return this.#open.size
  }

  /** Does not replay waiting tasks. The end of any stream of a worker removes the worker's entry. */
  connect(stream: Stream): void {
    const {workerId, agentName, response} = stream
    this.entries.set(workerId, stream)
    this.#open.add(stream)
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    })
    const message = 'Connected to task stream'
    const timestamp = new Date().toISOString().slice(0, -1)
    send(stream, 'connected', {event: 'connected', worker_id: workerId, agent_name: agentName, message, timestamp})
    const timer = setInterval(() => send(stream, 'heartbeat', {timestamp, worker_id: workerId}), this.#heartbeatMs)
    response.on('close', () => {
      clearInterval(timer)
      this.#open.delete(stream)
      this.forget(workerId)
    })
  }

  /** Removes entry and claims of the worker. Its open stream stays open and gets heartbeats, but no tasks. */
  forget(workerId: string): void {
    this.entries.delete(workerId)
    for (const [task, holder] of this.claims) if (holder === workerId) this.claims.delete(task)
  }

  /** Pushes to every matching stream that is not busy. A busy one never gets the push. */
  push(codebaseId: string, data: {id: string}): void {
    for (const stream of this.entries.values()) {
      const matches = ['global', '__pending__'].includes(codebaseId) || stream.codebases.has(codebaseId)
      if (!matches || stream.currentTask !== null) continue
      send(stream, 'task_available', data)
      this.pushed.push(data.id)
    }
  }

  /** Sends invalid text. */
  sendRaw(text: string): void {
    for (const {response} of this.#open) response.write(text)
  }

  /** Returns false if another worker has it, or the worker has no stream here. */
  claim(taskId: string, workerId: string): boolean {
    const holder = this.claims.get(taskId)
    const stream = this.entries.get(workerId)
    if (!stream || (holder !== undefined && holder !== workerId)) return false
    this.claims.set(taskId, workerId)
    stream.currentTask = taskId
    return true
  }

  release(taskId: string, workerId: string): boolean {
    if (this.claims.get(taskId) !== workerId) return false
    this.claims.delete(taskId)
    const stream = this.entries.get(workerId)
    if (stream) stream.currentTask = null
    return true
  }

  drop(): void {
    for (const {response} of this.#open) response.destroy()
  }
}

const send = ({response}: Stream, event: string, data: object) =>
  response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)

export const streamView = (stream: Stream) => ({
  worker_id: stream.workerId,
  agent_name: stream.agentName,
  connected_at: stream.connectedAt.toISOString(),
  last_heartbeat: new Date().toISOString(),
  is_busy: stream.currentTask !== null,
  current_task_id: stream.currentTask,
  capabilities: stream.capabilities,
  codebases: [...stream.codebases],
})
