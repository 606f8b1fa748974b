import type {Clock} from '../core/clock.ts'
import {markerVariable} from '../opencode/environment.ts'
import type {ProcessIdentity} from './executor.ts'
import {descendantsOf, hasVariable, isAlive, listProcesses, workingDirectory, type Process} from './processes.ts'

/** By what the processes of a run are known. */
export type RunTraces = {
  /** The agent; undefined when it was never started, or its pid is not known. */
  root: ProcessIdentity | undefined
  marker: string
  tmpDir: string
  /** Descendants noticed while it ran: also those that shed their environment and their parents. */
  seen: Iterable<ProcessIdentity>
}

const same = (a: ProcessIdentity) => `${a.pid}/${a.startTime}`
const isOver = (process: Process) => process.state === 'Z' || process.state === 'X'

/**
 * All processes of a run that are alive: the agent's group and descendants, whoever carries the run's marker, works
 * in its temporary folder, or was seen below it. Never ourselves.
 */
export function findRunProcesses({root, marker, tmpDir, seen}: RunTraces): ProcessIdentity[] {
  const all = listProcesses()
  const known = new Set([...seen].map(same))
  const agent = root && all.find((process) => same(process) === same(root))
  if (root) known.add(same(root))
  for (const process of agent ? descendantsOf(agent.pid, all) : []) known.add(same(process))
  const assignment = `${markerVariable}=${marker}`
  const found = all.filter((process) => {
    if (isOver(process) || process.pid === globalThis.process.pid || process.pid === 1) return false
    // A group outlives its leader; its number is not given out again while a member lives.
    if (known.has(same(process)) || (root && process.group === root.pid && agent !== undefined)) return true
    return hasVariable(process.pid, assignment) || isBelow(workingDirectory(process.pid), tmpDir)
  })
  const rest = found.flatMap((process) => descendantsOf(process.pid, all)).filter((process) => !isOver(process))
  return [...new Map([...found, ...rest].map((process) => [same(process), process])).values()]
}

const isBelow = (path: string | undefined, folder: string) =>
  path === folder || (path?.startsWith(`${folder}/`) ?? false)

export type EndOptions = RunTraces & {graceMs: number; clock: Clock}

/** After SIGKILL the kernel needs a moment; what outlasts this is stuck in it. */
const killWaitMs = 5000

/**
 * Ends every process of a run: SIGTERM, after the grace SIGKILL, again until there is none. Answers with what is
 * left, which is empty unless the kernel holds on to something. A pid that became another process is never signalled.
 */
export async function endRunProcesses(options: EndOptions): Promise<ProcessIdentity[]> {
  const {graceMs, clock} = options
  const started = clock.monotonic()
  const terminated = new Set<string>()
  for (let pause = 5; ; pause = Math.min(pause * 2, 100)) {
    const alive = findRunProcesses(options)
    if (alive.length === 0) return []
    const elapsed = clock.monotonic() - started
    if (elapsed > graceMs + killWaitMs) return alive
    for (const process of alive) {
      if (elapsed >= graceMs) signal(process, 'SIGKILL')
      else if (!terminated.has(same(process))) signal(process, 'SIGTERM')
      terminated.add(same(process))
    }

    await clock.sleep(pause)
  }
}

function signal(target: ProcessIdentity, name: NodeJS.Signals): void {
  if (!isAlive(target)) return
  try {
    process.kill(target.pid, name)
  } catch {
    // It ended between the look and the signal, or belongs to somebody else.
  }
}
