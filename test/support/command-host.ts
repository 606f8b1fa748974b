import {fork, type ChildProcess} from 'node:child_process'
import {join} from 'node:path'
import type {Finished, Options} from './cli.ts'

type Answer = Finished & {isClean: boolean}

/** Node reads its own variables only when it starts. */
const isForNode = (env: Record<string, string>) => Object.keys(env).some((name) => name.startsWith('NODE_'))

let host: ChildProcess | undefined
let isBusy = false

/**
 * Runs a command to its end in a process that stays for the next command. Most commands do a tenth of the work that starting
 * Node and loading the program takes. Undefined: this command needs a process of its own.
 */
export function runInHost(
  program: string,
  args: readonly string[],
  {cwd, env, input = '', by}: Options,
): Promise<Finished> | undefined {
  if (isBusy || by !== undefined || isForNode(env)) return undefined
  return send({program, args, cwd, env, input})
}

async function send(command: Record<string, unknown>): Promise<Finished> {
  isBusy = true
  const child = (host ??= startHost())
  child.ref()
  child.channel?.ref()
  child.send(command)
  const {isClean, ...finished} = await new Promise<Answer>((resolve, reject) => {
    const ended = (code: number | null, signal: string | null) =>
      reject(new Error(`the host of commands ended: ${code ?? signal}`))
    child.once('exit', ended).once('message', (answer) => {
      child.off('exit', ended)
      resolve(answer as Answer)
    })
  })
  child.unref()
  child.channel?.unref()
  if (!isClean) {
    child.kill('SIGKILL')
    host = undefined
  }

  isBusy = false
  return finished
}

function startHost(): ChildProcess {
  const child = fork(join(import.meta.dirname, 'command-host.mjs'), {
    cwd: join(import.meta.dirname, '../..'),
    env: {PATH: process.env['PATH'] ?? '', NO_COLOR: '1'},
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  child.once('exit', () => {
    if (host === child) host = undefined
  })
  return child
}
