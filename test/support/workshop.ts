import {globSync, mkdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {groupAt} from '../../src/lib/executor/processes/run-groups.ts'
import {cli, environment, start, stop, stubAgent, type Finished, type Running} from './cli.ts'
import {scratchFolder, until} from './scratch.ts'

export type Workshop = AsyncDisposable & {
  path: string
  env: Record<string, string>
  /** Starts the program. It is ended after the test. */
  start(args: string[], options?: {cwd?: string; env?: Record<string, string>; by?: readonly string[]}): Running
  /** Runs the program, and resolves when it has exited. */
  cli(
    args: string[],
    options?: {cwd?: string; env?: Record<string, string>; input?: string; by?: readonly string[]},
  ): Promise<Finished>
  /** Starts a worker and waits until its stream is open. */
  worker(server: string, name: string, codebases: string[], args?: string[]): Promise<Running>
}

/** A scratch folder with the stub agent, in which tests run the program. Its processes are killed at the end. */
export function openWorkshop(more: Record<string, string> = {}): Workshop {
  const scratch = scratchFolder()
  const env = environment(scratch.path, {
    OPENCODE_BIN_PATH: stubAgent,
    OPENCODE_STUB_LOG: join(scratch.path, 'agent.log'),
    ...more,
  })
  mkdirSync(join(scratch.path, 'home'))
  const running = new Set<Running>()
  const launch: Workshop['start'] = (args, options = {}) => {
    const process = start(args, {cwd: scratch.path, env, ...options})
    running.add(process)
    return process
  }
  return {
    path: scratch.path,
    env,
    start: launch,
    cli: (args, options = {}) => cli(args, {cwd: scratch.path, env, ...options}),
    async worker(server, name, codebases, args = []) {
      const list = codebases.flatMap((path) => ['--codebase', path])
      const process = launch(['start', '--server', server, '--name', name, ...list, ...args])
      await says(process, 'Task stream connected')
      return process
    },
    async [Symbol.asyncDispose]() {
      for (const process of running) if (process.process.exitCode === null) await stop(process, 'SIGKILL')
      await endGroups(scratch.path)
      scratch[Symbol.dispose]()
    },
  }
}

/** Ends the agents of killed workers, and removes their control groups. */
async function endGroups(folder: string): Promise<void> {
  for (const record of globSync('**/runs/*/*/cgroup', {cwd: folder})) {
    const group = groupAt(readFileSync(join(folder, record), 'utf8'))
    group.kill()
    await until(() => group.pids().length === 0, `the control group ${group.path} to be empty`)
    group.remove()
  }
}

/** Waits until the program has written this to stderr. Throws if it exits before. */
export const says = (running: Running, text: string | RegExp) =>
  until(
    () => contains(running.stderr(), text) || assertRunning(running),
    () => `${text} in:\n${running.stderr()}`,
  )

const contains = (all: string, text: string | RegExp) =>
  typeof text === 'string' ? all.includes(text) : text.test(all)

/** Throws if the program has exited. */
export function assertRunning(running: Running): undefined {
  if (running.process.exitCode !== null)
    throw new Error(`it ended with ${running.process.exitCode}: ${running.stderr()}`)
  return undefined
}
