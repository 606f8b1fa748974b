import {spawn, type ChildProcess} from 'node:child_process'
import {once} from 'node:events'
import {fileURLToPath} from 'node:url'
import {until} from './scratch.ts'

const script = fileURLToPath(new URL('../fixtures/asking-worker.ts', import.meta.url))

export type AskingWorkerOptions = {
  server: string
  /** Its state and its home. The next process with the same folder is the same worker. */
  folder: string
  codebase: string
  /** Every line that an agent gets is written to this file. */
  log: string
  /** Inputs reach the worker, and are never passed on. */
  holdsInputs?: boolean
  /** Inputs are passed on so late. */
  giveDelayMs?: number
}

export type AskingWorker = AsyncDisposable & {
  process: ChildProcess
  log: () => string
  says: (text: string | RegExp) => Promise<unknown>
  kill: (signal?: NodeJS.Signals) => Promise<void>
}

/** A worker in a process of its own, whose agents ask for permissions. Resolves when its stream is open. */
export async function startAskingWorker(options: AskingWorkerOptions): Promise<AskingWorker> {
  const child = spawn(process.execPath, [script, JSON.stringify(options)], {stdio: ['ignore', 'ignore', 'pipe']})
  let text = ''
  child.stderr.on('data', (chunk: Buffer) => (text += String(chunk)))
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null
  const kill = async (signal: NodeJS.Signals = 'SIGKILL') => {
    if (hasEnded()) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }
  const says = (wanted: string | RegExp) =>
    until(
      () => {
        if (hasEnded()) throw new Error(`the worker has ended: ${text}`)
        return typeof wanted === 'string' ? text.includes(wanted) : wanted.test(text)
      },
      () => `${wanted} in ${text}`,
      20_000,
    )
  await says('Task stream connected')
  return {process: child, log: () => text, says, kill, [Symbol.asyncDispose]: () => kill()}
}
