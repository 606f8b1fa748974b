import * as v from 'valibot'
import {auditSchema, type AuditEntry} from '../protocol/audit-schemas.ts'
import {modelListSchema} from '../protocol/model-schemas.ts'
import {pathTo, type Route} from '../protocol/routes.ts'
import {jsonWithBytes, type BodyMemory} from './json-bytes.ts'
import * as wire from '../protocol/schemas.ts'
import * as inputs from '../protocol/task-input.ts'
import {sessionListSchema, type Session} from '../protocol/session-schemas.ts'
import {HttpClient, isNotFound, RefusedError, type HttpOptions} from './http.ts'

type Signal = AbortSignal | undefined

export type OutputPosition = {workerId: string; attempt: number; offset: number; length: number}

/** `memory` is for the body of the request. */
export type OutputText = {bytes: Buffer; memory: BodyMemory}

/** A server must not be able to keep a command reading for ever. */
const maxPages = 1000

/** One method per endpoint. All throw RefusedError if the server refuses, and UnreachableError if it does not answer. */
export class ControlPlaneClient implements AsyncDisposable {
  readonly http: HttpClient

  constructor(options: HttpOptions) {
    this.http = new HttpClient(options)
  }

  get url(): string {
    return this.http.baseUrl
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.http[Symbol.asyncDispose]()
  }

  health(signal?: Signal, timeoutMs = 5000) {
    return this.http.call(wire.healthSchema, {
      what: 'Cannot read the health',
      path: pathTo('health'),
      signal,
      timeoutMs,
    })
  }

  /** The version and the clock of the server. */
  async healthWithDate(): Promise<{version: string | undefined; date: string | undefined}> {
    const call = {what: 'Cannot read the health', path: pathTo('health'), timeoutMs: 10_000}
    const {value, headers} = await this.http.callWithHeaders(wire.healthSchema, call)
    const date = headers['date']
    return {version: value.version, date: typeof date === 'string' ? date : undefined}
  }

  // ------------------------------------------------------------------------------------------------- workers

  registerWorker(worker: wire.RegisterWorker, signal?: Signal) {
    return this.http.call(wire.registerWorkerAnswerSchema, {
      what: 'Cannot register the worker',
      method: 'POST',
      path: pathTo('registerWorker'),
      json: worker,
      signal,
    })
  }

  /** `state` is sent to servers with leases. The existing server expects no body. */
  async heartbeat(workerId: string, state: wire.Heartbeat | undefined, signal?: Signal): Promise<void> {
    const path = pathTo('heartbeat', {worker: workerId})
    await this.http.call(v.unknown(), {
      what: 'Heartbeat failed',
      optional: 'heartbeat',
      method: 'POST',
      path,
      ...(state ? {json: state} : {}),
      timeoutMs: 10_000,
      signal,
    })
  }

  async unregister(workerId: string, signal?: Signal): Promise<void> {
    const path = pathTo('unregister', {worker: workerId})
    await this.http.call(v.unknown(), {
      what: 'Cannot unregister the worker',
      optional: 'unregister',
      method: 'POST',
      path,
      timeoutMs: 5000,
      signal,
    })
  }

  /** Declares a worker dead. The existing server cannot. */
  forgetWorker(workerId: string, signal?: Signal) {
    return this.http.call(v.object({requeued: v.optional(v.number(), 0)}), {
      what: `Cannot forget worker ${workerId}`,
      method: 'DELETE',
      path: pathTo('worker', {worker: workerId}),
      signal,
    })
  }

  async workers(signal?: Signal): Promise<wire.Worker[]> {
    const pages = await this.#pages('workers', wire.workerListSchema, 'Cannot list workers', signal)
    return pages.flat()
  }

  /** All workers, unregistered ones included. */
  async monitorWorkers(signal?: Signal): Promise<wire.MonitorWorker[]> {
    const pages = await this.#pages('monitorWorkers', wire.monitorWorkersSchema, 'Cannot list workers', signal)
    return pages.flatMap(({workers}) => workers)
  }

  /** Whether the server knows an open stream of this worker. Undefined if the server does not say. */
  async isConnected(workerId: string, signal?: Signal): Promise<boolean | undefined> {
    const path = pathTo('connectedWorker', {worker: workerId})
    try {
      await this.http.call(wire.connectedWorkerSchema, {
        what: 'Cannot check the stream',
        optional: 'connectedWorker',
        path,
        timeoutMs: 10_000,
        signal,
      })
      return true
    } catch (error) {
      // A server without this route answers `Not Found`.
      return error instanceof RefusedError && error.status === 404 && error.detail !== 'Not Found' ? false : undefined
    }
  }

  /** Workers with an open task stream. */
  async connectedWorkers(signal?: Signal) {
    const pages = await this.#pages('connected', wire.connectedWorkersSchema, 'Cannot list open task streams', signal)
    return pages.flatMap(({workers}) => workers)
  }

  // ----------------------------------------------------------------------------------------------- codebases

  async codebases(signal?: Signal): Promise<wire.Codebase[]> {
    const pages = await this.#pages('codebases', wire.codebaseListSchema, 'Cannot list codebases', signal)
    return pages.flat()
  }

  registerCodebase(codebase: wire.RegisterCodebase, signal?: Signal): Promise<wire.Codebase> {
    return this.http.call(wire.registerCodebaseAnswerSchema, {
      what: `Cannot register the codebase ${codebase.path}`,
      method: 'POST',
      path: pathTo('codebases'),
      json: codebase,
      signal,
    })
  }

  /** Sets the codebases of the worker's open stream. */
  async announceCodebases(workerId: string, codebases: readonly string[], signal?: Signal): Promise<void> {
    await this.http.call(v.unknown(), {
      what: 'Cannot announce the codebases',
      method: 'PUT',
      path: pathTo('workerCodebases', {}, {worker_id: workerId}),
      json: {codebases},
      signal,
      optional: 'workerCodebases',
    })
  }

  async removeCodebase(id: string, signal?: Signal): Promise<void> {
    await this.http.call(v.unknown(), {
      what: `Cannot remove codebase ${id}`,
      method: 'DELETE',
      path: pathTo('codebase', {codebase: id}),
      signal,
    })
  }

  /** The models of all workers, each once. */
  async models(signal?: Signal) {
    const pages = await this.#pages('models', modelListSchema, 'Cannot list models', signal)
    const [{default: used = null, reason = null} = {}] = pages
    return {models: pages.flatMap(({models}) => models), default: used, reason}
  }

  /** Reads a list to its end. Our control plane divides long ones into pages; the existing server has one page. */
  async #pages<const S extends v.GenericSchema<unknown, unknown>>(
    route: Route,
    schema: S,
    what: string,
    signal: Signal,
  ): Promise<v.InferOutput<S>[]> {
    const pages: v.InferOutput<S>[] = []
    for (let cursor: string | undefined; pages.length < maxPages;) {
      const {value, headers} = await this.http.callWithHeaders(schema, {
        what,
        path: pathTo(route, {}, {cursor}),
        signal,
      })
      pages.push(value)
      const next = headers['x-next-cursor']
      if (typeof next !== 'string' || next === cursor) break
      cursor = next
    }

    return pages
  }

  // ------------------------------------------------------------------------------------------------ sessions

  /** `body` is the JSON of a SyncSessions. */
  async syncSessions(codebaseId: string, body: Buffer, signal?: Signal): Promise<void> {
    await this.http.call(v.unknown(), {
      what: 'Cannot sync sessions',
      method: 'POST',
      path: pathTo('sessionsSync', {codebase: codebaseId}),
      raw: {type: 'application/json', body},
      signal,
    })
  }

  /** `body` is the JSON of a SyncMessages. */
  async syncMessages(codebaseId: string, sessionId: string, body: Buffer, signal?: Signal): Promise<void> {
    await this.http.call(v.unknown(), {
      what: `Cannot sync the messages of session ${sessionId}`,
      method: 'POST',
      path: pathTo('messagesSync', {codebase: codebaseId, session: sessionId}),
      raw: {type: 'application/json', body},
      signal,
    })
  }

  async sessions(
    codebaseId: string,
    query: {limit?: number; cursor?: string} = {},
    signal?: Signal,
  ): Promise<{sessions: Session[]; next: string | undefined}> {
    const {value, headers} = await this.http.callWithHeaders(sessionListSchema, {
      what: 'Cannot list sessions',
      path: pathTo('sessions', {codebase: codebaseId}, query),
      signal,
    })
    const next = headers['x-next-cursor']
    return {sessions: value.sessions, next: typeof next === 'string' ? next : undefined}
  }

  // --------------------------------------------------------------------------------------------------- tasks

  createTask(codebaseId: string, task: wire.CreateTask, idempotencyKey: string, signal?: Signal): Promise<wire.Task> {
    return this.http.call(wire.createTaskAnswerSchema, {
      what: 'Cannot create the task',
      method: 'POST',
      path: pathTo('codebaseTasks', {codebase: codebaseId}),
      json: task,
      headers: {'idempotency-key': idempotencyKey},
      signal,
    })
  }

  /** The other way to create a task, which also works on the existing server. Resolves with the task's id. */
  async triggerTask(
    codebaseId: string,
    body: {prompt: string; agent: string; model: string | null; metadata: Record<string, unknown>},
    signal?: Signal,
  ): Promise<string> {
    const answer = await this.http.call(wire.triggerAnswerSchema, {
      what: 'Cannot create the task',
      method: 'POST',
      path: pathTo('trigger', {codebase: codebaseId}),
      json: body,
      signal,
    })
    return answer.session_id
  }

  task(id: string, signal?: Signal): Promise<wire.Task> {
    return this.http.call(wire.taskSchema, {what: `Cannot read task ${id}`, path: pathTo('task', {task: id}), signal})
  }

  async tasks(
    query: {
      status?: string
      worker_id?: string
      codebase_id?: string
      id_prefix?: string
      order?: string
      limit?: number
      cursor?: string
    } = {},
    signal?: Signal,
  ): Promise<{tasks: wire.Task[]; next: string | undefined; /** The order, if the server can sort. */ order?: string}> {
    const {value, headers} = await this.http.callWithHeaders(wire.taskListSchema, {
      what: 'Cannot list tasks',
      path: pathTo('tasks', {}, query),
      signal,
    })
    const {'x-next-cursor': next, 'x-order': order} = headers
    return {
      tasks: value,
      next: typeof next === 'string' ? next : undefined,
      ...(typeof order === 'string' ? {order} : {}),
    }
  }

  async updateStatus(taskId: string, update: wire.StatusUpdate, signal?: Signal): Promise<void> {
    await this.http.call(v.unknown(), {
      what: `Cannot report task ${taskId} as ${update.status}`,
      method: 'PUT',
      path: pathTo('taskStatus', {task: taskId}),
      json: update,
      signal,
    })
  }

  /** Restarts an ended task as its next attempt. With `force` also a task whose worker is lost. */
  retryTask(taskId: string, force: boolean, signal?: Signal): Promise<wire.Task> {
    return this.http.call(wire.createTaskAnswerSchema, {
      what: `Cannot retry task ${taskId}`,
      method: 'POST',
      path: pathTo('taskRetry', {task: taskId}),
      json: {force},
      signal,
    })
  }

  async cancelTask(taskId: string, signal?: Signal): Promise<void> {
    const path = pathTo('taskCancel', {task: taskId})
    await this.http.call(v.unknown(), {what: `Cannot cancel task ${taskId}`, method: 'POST', path, signal})
  }

  // --------------------------------------------------------------------------------------------------- inputs

  /** Says something to a task. Resolves with the next task if the task has ended. The same id has no second effect. */
  async sendInput(
    taskId: string,
    input: inputs.NewInput,
    signal?: Signal,
  ): Promise<{input: inputs.StoredInput; task?: wire.Task | undefined}> {
    const answer = v.object({input: inputs.storedInputSchema, task: v.optional(wire.taskSchema)})
    return await this.http.call(answer, {
      what: `Task ${taskId} cannot be told that`,
      method: 'POST',
      path: pathTo('taskInputs', {task: taskId}),
      json: input,
      signal,
    })
  }

  /** What was said to a task, oldest first. */
  async inputs(taskId: string, signal?: Signal): Promise<inputs.StoredInput[]> {
    const found: inputs.StoredInput[] = []
    for (let cursor: string | undefined, pages = 0; pages < maxPages; pages++) {
      const {value, headers} = await this.http.callWithHeaders(inputs.inputListSchema, {
        what: `Cannot read what was said to task ${taskId}`,
        path: pathTo('taskInputs', {task: taskId}, {cursor}),
        signal,
      })
      found.push(...value.inputs)
      const next = headers['x-next-cursor']
      if (typeof next !== 'string' || next === cursor) break
      cursor = next
    }

    return found
  }

  /** What was said to a run of this worker, and is not reported yet. */
  async undelivered(taskId: string, workerId: string, attempt: number, signal?: Signal): Promise<inputs.SignedInput[]> {
    const {inputs: found} = await this.http.call(inputs.inputListSchema, {
      what: `Cannot read what was said to task ${taskId}`,
      path: pathTo('taskInputs', {task: taskId}, {worker_id: workerId, attempt, state: 'stored'}),
      timeoutMs: 10_000,
      signal,
    })
    return found
  }

  /** Sends all open questions of a run, and what became of inputs. */
  async reportQuestions(taskId: string, report: inputs.QuestionReport, signal?: Signal): Promise<void> {
    await this.http.call(v.unknown(), {
      what: `Cannot report what task ${taskId} asks`,
      method: 'PUT',
      path: pathTo('taskQuestions', {task: taskId}),
      json: report,
      signal,
    })
  }

  // --------------------------------------------------------------------------------------------------- audit

  /** A page of the audit, newest first; with `after` oldest first. It may be empty although there is a next one. */
  async audit(
    query: {
      task_id?: string | undefined
      worker_id?: string | undefined
      who?: string | undefined
      from?: string | undefined
      after?: number | undefined
      limit?: number
      cursor?: string | undefined
    },
    signal?: Signal,
  ): Promise<{entries: AuditEntry[]; next: string | undefined}> {
    const {value, headers} = await this.http.callWithHeaders(auditSchema, {
      what: 'Cannot read the audit',
      path: pathTo('audit', {}, query),
      signal,
    })
    const next = headers['x-next-cursor']
    return {entries: value.entries, next: typeof next === 'string' ? next : undefined}
  }

  // -------------------------------------------------------------------------------------------------- claims

  claim(taskId: string, workerId: string, signal?: Signal): Promise<wire.ClaimAnswer> {
    return this.http.call(wire.claimAnswerSchema, {
      what: `Cannot claim task ${taskId}`,
      optional: 'claim',
      method: 'POST',
      path: pathTo('claim', {}, {worker_id: workerId}),
      json: {task_id: taskId},
      signal,
    })
  }

  /** Confirms that the worker has received this assignment. */
  async confirm(taskId: string, attempt: number, workerId: string, signal?: Signal): Promise<void> {
    await this.http.call(wire.claimAnswerSchema, {
      what: `Cannot confirm task ${taskId}`,
      method: 'POST',
      path: pathTo('claim', {}, {worker_id: workerId}),
      json: {task_id: taskId, attempt},
      timeoutMs: 2000, // one that hangs must leave time to send it again
      signal,
    })
  }

  async release(
    workerId: string,
    body: {task_id: string; status: string; error?: string | null; attempt?: number},
    signal?: Signal,
  ): Promise<void> {
    const path = pathTo('release', {}, {worker_id: workerId})
    await this.http.call(v.unknown(), {
      what: `Cannot release task ${body.task_id}`,
      optional: 'release',
      method: 'POST',
      path,
      json: body,
      signal,
    })
  }

  /** `retryMs`: when the worker wants to be given the task again. `attempt`: of the assignment that it declines. */
  async decline(
    taskId: string,
    workerId: string,
    {reason, retryMs, attempt}: {reason: string; retryMs?: number | undefined; attempt?: number | undefined},
    signal?: Signal,
  ): Promise<void> {
    const path = pathTo('decline', {}, {worker_id: workerId})
    const retry = retryMs === undefined ? {} : {retry_ms: Math.round(retryMs)}
    const json = {task_id: taskId, reason, ...retry, ...(attempt ? {attempt} : {})}
    try {
      const call = {
        what: `Cannot decline task ${taskId}`,
        optional: 'decline',
        method: 'POST',
        path,
        json,
        signal,
      } as const
      await this.http.call(v.unknown(), call)
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }

  // -------------------------------------------------------------------------------------------------- output

  /** Sends bytes of the spool unchanged. For our control plane only. */
  postRawOutput(taskId: string, bytes: Buffer, at: OutputPosition, signal?: Signal) {
    return this.http.call(wire.outputAcknowledgementSchema, {
      what: `Cannot send output of task ${taskId}`,
      method: 'POST',
      path: pathTo(
        'taskOutput',
        {task: taskId},
        {
          worker_id: at.workerId,
          attempt: at.attempt,
          offset: at.offset,
          length: at.length,
        },
      ),
      raw: {type: 'application/x-ndjson', body: bytes},
      signal,
    })
  }

  /** Sends text in UTF-8. */
  postOutput(taskId: string, batch: Omit<wire.OutputBatch, 'output'>, text: OutputText, signal?: Signal) {
    return this.http.call(wire.outputAcknowledgementSchema, {
      what: `Cannot send output of task ${taskId}`,
      method: 'POST',
      path: pathTo('taskOutput', {task: taskId}),
      raw: {type: 'application/json', body: jsonWithBytes(batch, 'output', text.bytes, text.memory)},
      signal,
    })
  }

  outputPage(taskId: string, since: number, signal?: Signal): Promise<wire.OutputPage> {
    return this.http.call(wire.outputPageSchema, {
      what: `Cannot read the output of task ${taskId}`,
      path: pathTo('taskOutput', {task: taskId}, {since}),
      signal,
    })
  }

  /** Opens a stream with events `output` and `done`. `since` is a cursor of `outputPage`. */
  openOutput(taskId: string, since: number, signal: AbortSignal) {
    return this.http.open({
      what: `Cannot follow the output of task ${taskId}`,
      path: pathTo('taskOutputStream', {task: taskId}, {since}),
      silenceMs: 60_000,
      signal,
    })
  }
}
