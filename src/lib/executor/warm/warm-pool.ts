import {existsSync, readFileSync, renameSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import type {Clock} from '../../core/clock.ts'
import {endProcesses} from '../processes/kill-tree.ts'
import {isAlive, type ProcessIdentity} from '../processes/processes.ts'
import type {RunGroup} from '../processes/run-groups.ts'
import type {AgentExit} from '../spawn-agent.ts'
import {runFiles} from '../spool/file-names.ts'
import {endStrays} from './strays.ts'

/** A process of an agent that has run a task, or was started ahead, and waits for the next one. */
export type WarmAgent = {
  dir: string
  marker: string
  cwd: string
  fingerprint: string
  root: ProcessIdentity
  exited: Promise<AgentExit | undefined>
  group: RunGroup | undefined
  /** What it has announced in its handshake. Null before that. */
  announced: Record<string, unknown> | null
  hasReporter: boolean
  /** How many tasks it was given. */
  tasks: number
  /** Monotonic ms. */
  startedAt: number
}

export type WarmPoolOptions = {
  clock: Clock
  /** How many agents may wait. Read each time. */
  readonly size: number
  graceMs: number
  /** A task of this codebase was given an agent, or needs a new one. */
  onTaken?: (cwd: string) => void
  /** An agent that waited has ended. */
  onEnded?: (agent: WarmAgent) => void
}

/** An agent is replaced after this time, because what it has cached grows old. */
const maxAgeMs = 60 * 60_000
/** An agent with more memory is replaced. A fresh OpenCode takes up to 720 MB. */
const maxRssBytes = 1400 * 1024 * 1024

/** The agents that wait. Each works in the codebase that it was started for, because that is what takes its time. */
export class WarmPool {
  readonly #options: WarmPoolOptions
  readonly #idle: WarmAgent[] = []
  #isClosed = false

  constructor(options: WarmPoolOptions) {
    this.#options = options
  }

  /** How many agents may wait. */
  get size(): number {
    return this.#options.size
  }

  get idle(): readonly WarmAgent[] {
    return this.#idle
  }

  /** Takes an agent for a task. Undefined: there is none that is as a new one would be. */
  take(cwd: string, fingerprint: string): WarmAgent | undefined {
    this.#options.onTaken?.(cwd)
    this.removeUnfit(cwd, fingerprint)
    const at = this.#idle.findIndex((agent) => agent.cwd === cwd)
    return at === -1 ? undefined : this.#idle.splice(at, 1)[0]
  }

  /** Takes an agent back after its task. Resolves with whether it stays; otherwise its processes must be ended. */
  async giveBack(agent: WarmAgent): Promise<boolean> {
    const {clock} = this.#options
    if (!this.#isFit(agent) || !(await endStrays(agent, clock)) || this.#isClosed) return false
    this.#idle.push(agent)
    void agent.exited.then(() => this.#forget(agent))
    this.#shrink()
    return this.#idle.includes(agent)
  }

  /** Returns an agent whose task did not begin. */
  putBack(agent: WarmAgent): void {
    if (this.#isFit(agent) && !this.#isClosed) this.#idle.push(agent)
    else void this.end(agent)
  }

  /** Ends all agents that wait, and takes none back. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(this.#idle.splice(0).map((agent) => this.end(agent)))
  }

  /** Ends the agents that wait in a codebase and are not as a new one would be. */
  removeUnfit(cwd: string, fingerprint: string): void {
    for (const agent of [...this.#idle]) {
      const isOutdated = agent.cwd === cwd && agent.fingerprint !== fingerprint
      if (isOutdated || !this.#isFit(agent)) this.#remove(agent)
    }
  }

  #isFit(agent: WarmAgent): boolean {
    const {clock, size} = this.#options
    if (size === 0 || !isAlive(agent.root) || clock.monotonic() - agent.startedAt > maxAgeMs) return false
    return rssOf(agent.root.pid) <= maxRssBytes
  }

  /** The agents that waited longest are ended first. */
  #shrink(): void {
    while (this.#idle.length > Math.max(0, this.#options.size)) {
      const [oldest] = this.#idle
      if (!oldest) return
      this.#remove(oldest)
    }
  }

  #remove(agent: WarmAgent): void {
    const at = this.#idle.indexOf(agent)
    if (at !== -1) this.#idle.splice(at, 1)
    void this.end(agent)
  }

  #forget(agent: WarmAgent): void {
    const at = this.#idle.indexOf(agent)
    if (at === -1) return
    this.#idle.splice(at, 1)
    void this.end(agent)
  }

  /** Ends an agent with all its processes, and removes its folder. */
  async end(agent: WarmAgent): Promise<void> {
    const {root, marker, dir, group} = agent
    const {clock, graceMs} = this.#options
    await endProcesses({root, marker, runDir: dir, seen: [], graceMs, clock, group})
    group?.remove()
    rmSync(dir, {recursive: true, force: true})
    this.#options.onEnded?.(agent)
  }
}

/** Resident memory in bytes, by /proc/PID/status. 0 where it is not known. */
function rssOf(pid: number): number {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return Number(kib ?? 0) * 1024
  } catch {
    return 0
  }
}

/** Removes the folder of an agent that has ended. What it said on stderr stays with its last run. */
export function keepStderr({dir}: WarmAgent, runDir: string): void {
  const said = join(dir, runFiles.stderr)
  if (existsSync(said)) renameSync(said, join(runDir, runFiles.stderr))
  rmSync(dir, {recursive: true, force: true})
}
