import {spawn, type ChildProcess} from 'node:child_process'
import {once} from 'node:events'
import type {Command} from '../../config/settings.ts'
import type {Clock} from '../../core/clock.ts'
import {messageOf} from '../../core/errors.ts'
import {endProcesses} from '../../executor/processes/kill-tree.ts'
import {identify} from '../../executor/processes/processes.ts'
import {markerVariable} from '../../opencode/program/environment.ts'

export type ApprovalOptions = {
  command: Command
  /** Written to the command's stdin as JSON. */
  task: unknown
  /** Marks the processes of the command, so that all of them can be ended. */
  marker: string
  /** The worker's own environment. The command gets it without the worker's settings, which include its token. */
  env: NodeJS.ProcessEnv
  clock: Clock
  timeoutMs?: number
}

const defaultTimeoutMs = 10_000
/** What is read of the output of the command. */
const maxOutputBytes = 4096
/** A folder in which no process works or writes: the command has none of its own. */
const noFolder = '/nonexistent'

/**
 * Asks the command of `approve_task`. Resolves with undefined if it approves (exit 0), else with the reason: what it
 * printed (exit 1), or what went wrong. Whatever goes wrong is a refusal. All processes of the command are ended.
 */
export async function askForApproval(options: ApprovalOptions): Promise<string | undefined> {
  const {clock, timeoutMs = defaultTimeoutMs} = options
  const child = launch(options)
  if (!(child instanceof Object)) return `the command cannot be started: ${child}`
  if (child.pid === undefined) {
    const [error] = (await once(child, 'error')) as [unknown]
    return `the command cannot be started: ${messageOf(error)}`
  }

  const root = identify(child.pid)
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  const closed = once(child, 'close')
  const stdout = collect(child.stdout)
  const stderr = collect(child.stderr)
  child.stdin?.on('error', () => {}) // it need not read the task
  child.stdin?.end(`${JSON.stringify(options.task)}\n`)
  const timeout = new AbortController()
  const end = await Promise.race([exited, clock.sleep(timeoutMs, timeout.signal)])
  timeout.abort()
  // also after its exit: what it has left in the background
  await endProcesses({root, marker: options.marker, runDir: noFolder, seen: [], graceMs: 0, clock})
  if (end === undefined) return `the command has not answered within ${timeoutMs / 1000} s`
  await Promise.race([closed, clock.sleep(1000)])
  const [code, signal] = end
  if (code === 0) return undefined
  if (code === 1) return stdout() || stderr() || 'the command gave no reason'
  const how = code === null ? `was ended by ${signal}` : `ended with ${code}, and only 0 approves`
  return `the command ${how}${stderr() ? `: ${stderr()}` : ''}`
}

/** Returns the reason if the program cannot even be named. */
function launch({command, env, marker}: ApprovalOptions): ChildProcess | string {
  const [program = '', ...args] = typeof command === 'string' ? ['/bin/sh', '-c', command] : command
  const passed = Object.fromEntries(Object.entries(env).filter(([name]) => !/^A2A_/i.test(name)))
  try {
    return spawn(program, args, {
      cwd: '/',
      env: {...passed, [markerVariable]: marker},
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
  } catch (error) {
    return messageOf(error)
  }
}

/** Reads a stream to its end and keeps its beginning. Returns the function that gives the words on one line. */
function collect(stream: ChildProcess['stdout']): () => string {
  const chunks: Buffer[] = []
  let size = 0
  stream?.on('data', (chunk: Buffer) => {
    if (size < maxOutputBytes) chunks.push(chunk.subarray(0, maxOutputBytes - size))
    size += chunk.length
  })
  return () =>
    Buffer.concat(chunks)
      .toString('utf8')
      .trim()
      .replaceAll(/\s*\n\s*/g, ' ')
}
