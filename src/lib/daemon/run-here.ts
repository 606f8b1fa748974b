import {basename} from 'node:path'
import {cancelTask} from '../client/cancel-task.ts'
import {ControlPlaneClient} from '../client/control-plane.ts'
import {createTask} from '../client/create-task.ts'
import {isTransient} from '../client/http.ts'
import {readLocalControlPlane} from '../config/local-control-plane.ts'
import type {Config} from '../config/settings.ts'
import {findLocalWorkers} from '../control/local-workers.ts'
import {Cleanup} from '../core/cleanup.ts'
import {systemClock} from '../core/clock.ts'
import {configError, errorCode, usageError} from '../core/errors.ts'
import {realPathOf} from '../core/paths/real-path.ts'
import {isFinal, type Task} from '../protocol/schemas.ts'
import type {SignedCodebase} from '../signing/task-claims.ts'
import type {TaskSigner} from '../signing/task-signer.ts'
import {embedPlane} from '../server/embedded.ts'
import {directoryProblem} from './local-start.ts'
import {registerWithControlPlane} from './register-codebase.ts'
import {startWorker, type WorkerProcessOptions} from './worker-process.ts'

export type RunHereOptions = Pick<
  WorkerProcessOptions,
  'config' | 'stateDir' | 'version' | 'root' | 'env' | 'write'
> & {
  /** Where the agent works. Undefined: the current directory was deleted. */
  directory: string | undefined
  task: {title: string; prompt: string; agent_type: string; metadata: Record<string, unknown>}
  /** Signs the task, if tasks are signed. */
  sign: TaskSigner | undefined
  /**
   * Waits for the end of the task, and shows it. `startup`: what the worker of this process waits for. The signal ends
   * the wait, whose outcome does not count then.
   */
  wait: (
    client: ControlPlaneClient,
    task: Task,
    startup: () => string | undefined,
    signal: AbortSignal,
  ) => Promise<Task>
  /** For the user. */
  notify: (text: string) => void
  /** Aborted by Ctrl-C: the task is cancelled. */
  signal: AbortSignal
  /** Exits at once. */
  exit: (code: number) => void
}

/** Before all other tasks of the codebase: the worker takes one task. */
const priority = 1_000_000
const retryMs = 1000

/**
 * Runs one task in this directory and resolves with its end. A worker that serves the directory for the control plane of
 * this machine gets it. Otherwise this process is the worker, for this task only, and hosts the control plane if nobody
 * does. Throws ExpectedError if the directory is no project, or the worker cannot start.
 */
export async function runHere(options: RunHereOptions): Promise<Task> {
  const {directory, env, stateDir} = options
  const problem = directoryProblem({env, stateDir, directory})
  if (problem !== undefined || directory === undefined)
    throw usageError(`Not running in ${problem}.`, 'Change to the directory of a project.')
  if (options.config.verify_tasks === 'require' && !options.sign)
    throw configError(
      'This machine runs signed tasks only (verify_tasks), and there is no key to sign this one.',
      'Give --key FILE, or set signing_key.',
    )
  const served = await servedCodebase(directory, options)
  return served === undefined ? await runInProcess(directory, options) : await runByWorker(served, options)
}

/** The codebase of a running worker of the local control plane at this directory, unless that worker is one of ours. */
async function servedCodebase(directory: string, {env, stateDir}: RunHereOptions): Promise<string | undefined> {
  const plane = readLocalControlPlane(stateDir)
  for (const worker of await findLocalWorkers(env, stateDir)) {
    if (worker.server !== plane?.url || worker.isService || worker.name.endsWith(`-${runScope(directory)}`)) continue
    const codebase = worker.codebases.find(({path}) => realPathOf(path) === realPathOf(directory))
    if (codebase) return codebase.id
  }

  return undefined
}

async function runByWorker(codebaseId: string, options: RunHereOptions): Promise<Task> {
  await using client = localClient(options)
  return await createAndWait(client, codebaseId, options)
}

const localClient = ({stateDir}: RunHereOptions) => {
  const findLocal = () => readLocalControlPlane(stateDir)
  const local = findLocal()
  return new ControlPlaneClient({baseUrl: local?.url ?? '', token: local?.token, local: findLocal})
}

/** Ends the name of the worker of such a run. */
const runScope = (directory: string) => `${basename(directory)}-run`

async function runInProcess(directory: string, options: RunHereOptions): Promise<Task> {
  const {env, stateDir, version} = options
  const codebase = {name: basename(directory), path: directory, description: ''}
  const config: Config = {...options.config, codebases: [codebase], max_concurrent_tasks: 1}
  delete (config as {server_url?: string}).server_url
  await using stack = new Cleanup()
  const watching = new AbortController()
  const log = () => {}
  stack.use(await embedPlane({stateDir, version, clock: systemClock, log, signal: watching.signal}))
  stack.defer(() => watching.abort())
  const client = stack.use(localClient(options))
  const scope = runScope(directory)
  let step: string | undefined
  const {id} = await registerWithControlPlane(codebase, {
    ...{context: {config, stateDir}, env, version, scope, print: options.notify},
    controlPlane: async () => localClient(options),
  })
  let working: Promise<void> = Promise.resolve()
  return await createAndWait(client, id, options, {
    begin: (task, fail) => {
      const onStartup = (text: string) => void (step = `this worker starts: ${text}`)
      working = work(client, task, {...options, config, scope, onStartup}).catch(fail)
    },
    end: () => working,
    startup: () => step,
  })
}

type Work = {
  begin: (task: Task, fail: (error: unknown) => void) => void
  end: () => Promise<void>
  startup: () => string | undefined
}

const noWork: Work = {begin: () => {}, end: async () => {}, startup: () => undefined}

/** Creates the task, and waits for it and for the worker. If the worker fails, so does the wait, and the task is cancelled. */
async function createAndWait(
  client: ControlPlaneClient,
  codebaseId: string,
  {task: wanted, sign, wait, signal}: RunHereOptions,
  {begin, end, startup} = noWork,
): Promise<Task> {
  const metadata = sign ? await sign({...wanted, model: null}, await codebaseOf(client, codebaseId)) : wanted.metadata
  const {task} = await createTask(client, codebaseId, {...wanted, metadata, priority}, new AbortController().signal)
  const cancel = () => cancelTask(client, task.id, false, AbortSignal.timeout(30_000)).catch(() => {})
  const onAbort = () => void cancel()
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, {once: true})
  const waiting = new AbortController()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {})
  begin(task, failed.reject)
  try {
    return await Promise.race([wait(client, task, startup, waiting.signal), failed.promise])
  } catch (error) {
    waiting.abort()
    await cancel() // now: the control plane may end with this process, and would offer the task to the next one
    throw error
  } finally {
    signal.removeEventListener('abort', onAbort)
    await end()
  }
}

async function codebaseOf(client: ControlPlaneClient, id: string): Promise<SignedCodebase> {
  const found = (await client.codebases()).find((codebase) => codebase.id === id)
  if (found) return found
  throw new Error(`the control plane of this machine does not list the codebase ${id}`)
}

/** Whether the task has not ended. Between two processes that host it, the control plane is down for a moment. */
async function isOpen(client: ControlPlaneClient, id: string, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    try {
      return !isFinal((await client.task(id, signal)).status)
    } catch (error) {
      if (signal.aborted || !isTransient(error)) throw error
      await systemClock.sleep(retryMs, signal)
    }
  }
}

type WorkOptions = RunHereOptions & Pick<WorkerProcessOptions, 'scope' | 'onStartup'>

/** Works until the task has ended: a worker that was killed here before may have left another run to finish first. */
async function work(client: ControlPlaneClient, {id}: Task, options: WorkOptions): Promise<void> {
  const {config, stateDir, version, root, env, scope, onStartup, write, notify, signal} = options
  for (let isToldOf = false; !signal.aborted && (await isOpen(client, id, signal));) {
    try {
      await startWorker({
        ...{config, stateDir, version, root, env, scope, onStartup, write},
        ...{isLocal: true, once: true, exitAfterIdleMs: 0, notices: [], isLogRedirected: false},
        reload: async () => ({config, warnings: []}),
        exit: (code) => {
          if (code !== 0) options.exit(code)
        },
      })
    } catch (error) {
      if (errorCode(error) !== 'WORKER_RUNNING') throw error
      if (!isToldOf) notify('Another run works in this directory; this one begins when it has ended.')
      isToldOf = true
      await systemClock.sleep(retryMs, signal)
    }
  }
}
