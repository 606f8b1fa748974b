import {readdirSync, readFileSync, readlinkSync} from 'node:fs'
import type {ProcessIdentity} from './executor.ts'

/** A process as `/proc/PID/stat` shows it (proc(5)). */
export type Process = ProcessIdentity & {state: string; ppid: number; group: number; session: number}

/** Undefined when it is gone, or where there is no /proc. */
export function readProcess(pid: number): Process | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }

  // The name, in brackets, may hold blanks and brackets itself.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state = '?', ppid, group, session] = fields
  return {pid, state, ppid: Number(ppid), group: Number(group), session: Number(session), startTime: fields[19] ?? ''}
}

/** Every process of the machine that can be seen; none where there is no /proc. */
export function listProcesses(): Process[] {
  let names: string[]
  try {
    names = readdirSync('/proc')
  } catch {
    return []
  }

  return names.filter((name) => /^\d+$/.test(name)).flatMap((name) => readProcess(Number(name)) ?? [])
}

/** Runs it still, and is it the same one? A zombie has ended, a recycled pid is another. */
export function isAlive({pid, startTime}: ProcessIdentity): boolean {
  const process = readProcess(pid)
  if (!process) return startTime === '' && isSignalable(pid)
  return process.startTime === startTime && process.state !== 'Z' && process.state !== 'X'
}

/** Where there is no /proc, a pid is all there is to go by. */
function isSignalable(pid: number): boolean {
  if (process.platform === 'linux') return false
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Does the environment it was started with hold this `NAME=value`? False where it may not be read. */
export function hasVariable(pid: number, assignment: string): boolean {
  try {
    return `\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}`.includes(`\0${assignment}\0`)
  } catch {
    return false
  }
}

export function workingDirectory(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return undefined
  }
}

/** All descendants of `root` among `all`, found by parent. */
export function descendantsOf(root: number, all: readonly Process[]): Process[] {
  const children = Map.groupBy(all, ({ppid}) => ppid)
  const found: Process[] = []
  const queue = [root]
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    for (const child of children.get(pid) ?? []) {
      found.push(child)
      queue.push(child.pid)
    }
  }

  return found
}

/** Tells one start of the machine from the next; empty where that is not known. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}
