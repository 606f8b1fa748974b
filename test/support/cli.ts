import {spawn, type ChildProcess} from 'node:child_process'
import {once} from 'node:events'
import {join} from 'node:path'
import {runInHost} from './command-host.ts'

export const root = join(import.meta.dirname, '../..')
export const program = join(root, 'bin/run.js')
export const stubAgent = join(root, 'test/fixtures/stub-agent.sh')

/** An environment with a home and state of its own and nothing of ours from outside. */
export function environment(scratch: string, more: Record<string, string> = {}): Record<string, string> {
  return {
    PATH: `${join(root, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}`,
    HOME: join(scratch, 'home'),
    A2A_STATE_DIR: join(scratch, 'state'),
    A2A_GLOBAL_CODEBASE: 'none',
    NO_COLOR: '1',
    ...more,
  }
}

export type Finished = {code: number | null; stdout: string; stderr: string}

export type Options = {
  cwd: string
  env: Record<string, string>
  input?: string
  /** Put before the program: what it is run by. */
  by?: readonly string[]
}

/** Runs the program to its end. */
export async function cli(args: string[], options: Options): Promise<Finished> {
  const hosted = runInHost(program, args, options)
  if (hosted) return hosted
  const child = start(args, options)
  child.process.stdin?.end(options.input ?? '')
  return child.finished
}

export type Running = {process: ChildProcess; finished: Promise<Finished>; stdout: () => string; stderr: () => string}

/** Starts the program; `finished` resolves when it has ended. */
export function start(args: string[], {cwd, env, by = []}: Options): Running {
  const [command = '', ...rest] = [...by, process.execPath, program, ...args]
  const child = spawn(command, rest, {cwd, env, stdio: ['pipe', 'pipe', 'pipe']})
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const finished = once(child, 'close').then(([code]) => ({code: code as number | null, stdout, stderr}))
  return {process: child, finished, stdout: () => stdout, stderr: () => stderr}
}

/** Ends a program that was started here, for good. */
export async function stop(running: Running, signal: NodeJS.Signals = 'SIGTERM'): Promise<Finished> {
  running.process.kill(signal)
  return running.finished
}
