import {realpathSync} from 'node:fs'
import {join} from 'node:path'
import {execa} from 'execa'
import type {Clock} from '../core/clock.ts'
import {asDescriptor} from '../core/descriptor.ts'
import {ExpectedError, errorCode, messageOf} from '../core/errors.ts'
import type {Catalog} from '../opencode/catalog.ts'
import {agentArguments, normalizeModel} from '../opencode/command.ts'
import {agentEnvironment} from '../opencode/environment.ts'
import {readFact, type AgentFact} from '../opencode/events.ts'
import {lineSplitter} from '../opencode/line-splitter.ts'
import type {OpenCodeProbe} from '../opencode/probe.ts'
import {RunRecord} from '../opencode/record.ts'
import {judge} from '../opencode/verdict.ts'
import {
  runFiles,
  type Executor,
  type ProcessIdentity,
  type RunningAgent,
  type RunObserver,
  type RunOutcome,
  type RunRequest,
  type StopReason,
} from './executor.ts'
import {follow} from './follow.ts'
import {endRunProcesses, type RunTraces} from './kill-tree.ts'
import {descendantsOf, listProcesses, readProcess} from './processes.ts'
import {isDiskFull, openRunFiles, readTail} from './run-files.ts'
import {Watchdog} from './watchdog.ts'

export type RunExecutorOptions = {
  binary: string
  probe: OpenCodeProbe
  catalog: Catalog
  /** The worker's own environment, of which the agent gets what is allowed. */
  env: NodeJS.ProcessEnv
  allow: readonly string[]
  permissions: unknown
  clock: Clock
}

const readSize = 64 * 1024
/** How often descendants are noted, and the watchdog looks. */
const lookMs = 1000
/** A process that stays on after its last word is ended after this; its success counts. */
const lingerMs = 10_000
const lockedDatabase = /database is locked|Failed to execute statement/i

/** Runs each task as an OpenCode process of its own (`opencode run --format json`). */
export function createRunExecutor(options: RunExecutorOptions): Executor {
  return {
    async start(request, observer) {
      const model = normalizeModel(request.model)
      const args = agentArguments({...request, model}, options.probe.flags)
      const checks = [
        model && options.catalog.checkModel(model, request.cwd),
        options.catalog.checkAgent(request.agent, request.cwd),
      ]
      for (const check of checks) if (check) await check
      const run = new AgentRun(options, request, observer, args, model)
      run.spawn()
      return run
    },
  }
}

type Exit = {code: number | null; signal: string | null}

/** One run: the process, what is known of it, and its end. */
class AgentRun implements RunningAgent {
  readonly outcome: Promise<RunOutcome>
  readonly #options: RunExecutorOptions
  readonly #request: RunRequest
  readonly #observer: RunObserver
  readonly #args: string[]
  readonly #model: string | undefined
  readonly #seen = new Map<number, ProcessIdentity>()
  readonly #settle: PromiseWithResolvers<RunOutcome>
  readonly #startedAt: number
  readonly #spool: string
  #record = new RunRecord()
  #root: ProcessIdentity | undefined
  #stop: StopReason | undefined
  #stopping: Promise<unknown> | undefined
  #retried = false

  constructor(
    options: RunExecutorOptions,
    request: RunRequest,
    observer: RunObserver,
    args: string[],
    model: string | undefined,
  ) {
    this.#options = options
    this.#request = request
    this.#observer = observer
    this.#args = args
    this.#model = model
    this.#settle = Promise.withResolvers()
    this.outcome = this.#settle.promise
    this.#startedAt = options.clock.monotonic()
    this.#spool = join(request.runDir, runFiles.stdout)
  }

  /** Starts the process. Throws ExpectedError when that cannot be done. */
  spawn(): void {
    const {binary, env: base, allow, permissions} = this.#options
    const {cwd, runDir, marker, prompt} = this.#request
    const tmpDir = join(runDir, runFiles.tmp)
    using files = openRunFiles(runDir, prompt)
    const env = agentEnvironment({base, cwd, tmpDir: realpathSync(tmpDir), marker, allow, permissions})
    const child = execa(binary, this.#args, {
      cwd,
      env,
      extendEnv: false,
      // The agent leads a group of its own and is never ended by our own exit: its output goes to a file, so a
      // worker that comes back finds it.
      detached: true,
      cleanup: false,
      buffer: false,
      reject: false,
      stdin: asDescriptor(files.stdin),
      stdout: asDescriptor(files.stdout),
      stderr: asDescriptor(files.stderr),
    })
    if (child.pid === undefined) {
      void child.then((result) => this.#settle.reject(cannotSpawn(binary, cwd, result)))
      return
    }

    this.#root = {pid: child.pid, startTime: readProcess(child.pid)?.startTime ?? ''}
    this.#observer.spawned(this.#root)
    void this.#live(child.then((result): Exit => ({code: result.exitCode ?? null, signal: result.signal ?? null})))
  }

  stop(reason: StopReason): void {
    if (this.#stop) return
    this.#stop = reason
    this.#stopping = this.#end(this.#request.deadlines.grace)
  }

  async #live(exited: Promise<Exit>): Promise<void> {
    try {
      const exit = await this.#watchUntil(exited)
      const left = await this.#end(this.#stop ? this.#request.deadlines.grace : 1000)
      await this.#stopping
      if (left.length > 0)
        this.#observer.warning(`processes that cannot be ended: ${left.map(({pid}) => pid).join(', ')}`)
      if (await this.#again()) return
      this.#settle.resolve(this.#outcome(exit))
    } catch (error) {
      this.#settle.reject(error)
    }
  }

  /** Reads what the agent prints and minds its deadlines until it has ended and all of it was read. */
  async #watchUntil(exited: Promise<Exit>): Promise<Exit> {
    const {clock} = this.#options
    const ended = new AbortController()
    const watchdog = new Watchdog({
      deadlines: this.#request.deadlines,
      clock,
      isToolRunning: () => this.#noteDescendants() > 0,
      onExpired: (reason) => this.stop(reason),
      signal: ended.signal,
    })
    const notes = setInterval(() => this.#noteDescendants(), lookMs)
    const lines = lineSplitter((line) => this.#take(readFact(line)))
    let linger: NodeJS.Timeout | undefined
    try {
      const reading = this.#read(ended.signal, (bytes) => {
        watchdog.sign()
        lines.push(bytes)
        clearTimeout(linger)
        if (this.#record.finished) linger = setTimeout(() => void this.#end(0), lingerMs)
      })
      const exit = await exited
      ended.abort()
      await reading
      lines.end()
      return exit
    } finally {
      clearInterval(notes)
      clearTimeout(linger)
      ended.abort()
    }
  }

  async #read(ended: AbortSignal, take: (bytes: Buffer) => void): Promise<void> {
    const {signal} = new AbortController()
    for await (const {bytes} of follow({path: this.#spool, from: 0, maxBytes: readSize, ended, signal})) take(bytes)
  }

  #take(fact: AgentFact): void {
    const before = this.#record.sessionId
    this.#record.add(fact)
    const session = this.#record.sessionId
    if (session !== null && session !== before) this.#observer.session(session)
    const line = activityOf(fact)
    if (line) this.#observer.activity(line)
  }

  get #traces(): RunTraces {
    const {marker, runDir} = this.#request
    return {root: this.#root, marker, tmpDir: join(runDir, runFiles.tmp), seen: this.#seen.values()}
  }

  #end(graceMs: number): Promise<ProcessIdentity[]> {
    this.#noteDescendants()
    return endRunProcesses({...this.#traces, seen: [...this.#seen.values()], graceMs, clock: this.#options.clock})
  }

  /** Remembers who runs below the agent: later they may have shed every other trace. Answers with how many do. */
  #noteDescendants(): number {
    if (!this.#root) return 0
    const below = descendantsOf(this.#root.pid, listProcesses())
    for (const {pid, startTime} of below) this.#seen.set(pid, {pid, startTime})
    return below.length
  }

  /** OpenCode processes that start at once may find its database locked: once more then, if nothing was done yet. */
  async #again(): Promise<boolean> {
    if (this.#retried || this.#stop || this.#record.events > 0) return false
    if (!lockedDatabase.test(readTail(join(this.#request.runDir, runFiles.stderr)))) return false
    this.#retried = true
    this.#record = new RunRecord()
    this.#observer.warning('OpenCode found its database locked; starting it once more')
    await this.#options.clock.sleep(1000)
    this.spawn()
    return true
  }

  #outcome(exit: Exit): RunOutcome {
    const record = this.#record
    const verdict = judge({
      record,
      exit,
      stderr: readTail(join(this.#request.runDir, runFiles.stderr)),
      stop: this.#stop,
      model: this.#model,
      isDiskFull: isDiskFull(this.#request.runDir),
    })
    const duration_ms = Math.round(this.#options.clock.monotonic() - this.#startedAt)
    return {
      ...verdict,
      result: record.result,
      sessionId: record.sessionId,
      usage: {...record.usage, model: this.#model ?? null, duration_ms},
    }
  }
}

function activityOf(fact: AgentFact): string | undefined {
  if (fact.type === 'tool')
    return `${fact.tool} ${fact.title} ${fact.status}${fact.error ? `: ${fact.error}` : ''}`
      .replaceAll(/\s+/g, ' ')
      .slice(0, 200)
  if (fact.type === 'text' && !fact.synthetic) return fact.text.trim().replaceAll(/\s+/g, ' ').slice(0, 200)
  if (fact.type === 'error') return `error: ${fact.message}`
  return undefined
}

function cannotSpawn(binary: string, cwd: string, error: unknown): ExpectedError {
  const code = errorCode(error) ?? errorCode((error as {cause?: unknown}).cause)
  const why = code === 'ENOENT' ? `the program or the directory ${cwd} does not exist` : messageOf(error)
  return new ExpectedError(`OpenCode at ${binary} cannot be started: ${why}.`, {
    code: 'CANNOT_START_AGENT',
    exit: 'config',
    suggestions: ['Check opencode_bin and the codebase path.'],
    cause: error,
  })
}
