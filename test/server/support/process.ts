import type {ChildProcess} from 'node:child_process'
import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {fileURLToPath} from 'node:url'

export type Running = AsyncDisposable & {
  /** The first line of its output. */
  line: string
  stderr: () => string
  /** Resolves with the exit code or the signal's name. */
  end(signal: NodeJS.Signals): Promise<number | string>
}

/** Runs a script of this folder and resolves when it has printed a line. */
export async function runScript(name: string, args: string[] = [], env: Record<string, string> = {}): Promise<Running> {
  const script = fileURLToPath(new URL(name, import.meta.url))
  const child = spawn(process.execPath, [script, ...args], {env: {...process.env, ...env}})
  const ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string)
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += String(chunk)))
  const line = await Promise.race([
    firstLine(child),
    ended.then((code) => {
      throw new Error(`${name} ended with ${code}: ${stderr}`)
    }),
  ])
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    return ended
  }
  return {
    line,
    stderr: () => stderr,
    end,
    async [Symbol.asyncDispose]() {
      await end('SIGKILL')
    },
  }
}

async function firstLine({stdout}: ChildProcess): Promise<string> {
  let text = ''
  for await (const chunk of stdout ?? []) {
    text += String(chunk)
    if (text.includes('\n')) break
  }
  return text.split('\n')[0] ?? ''
}
