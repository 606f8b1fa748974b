import {once} from 'node:events'
import {createInterface} from 'node:readline'
import {Writable} from 'node:stream'
import type {ReadStream} from 'node:tty'
import {usageError} from '../core/errors.ts'

export type SecretSource = {
  stdin: AsyncIterable<Uint8Array | string> & NodeJS.ReadableStream & Partial<Pick<ReadStream, 'isTTY'>>
  /** Shows the question on the terminal. */
  ask: (text: string) => void
}

const maxBytes = 64 * 1024

/**
 * Reads a secret so that neither the process list nor the shell's history has it: on a terminal it is asked for and not
 * shown, otherwise it is all of stdin. Blanks around it are removed. Throws ExpectedError (2) if there is none.
 */
export async function readSecret(name: string, {stdin, ask}: SecretSource): Promise<string> {
  const text = (stdin.isTTY ? await askFor(name, {stdin, ask}) : await readAll(stdin)).trim()
  if (text === '')
    throw usageError(`There is no value for ${name}.`, `Type it, or pipe it: … | a2a-worker config set ${name}`)
  return text
}

async function askFor(name: string, {stdin, ask}: SecretSource): Promise<string> {
  const nowhere = new Writable({write: (_chunk, _encoding, done) => done()})
  const lines = createInterface({input: stdin, output: nowhere, terminal: true})
  ask(`${name} (not shown): `)
  try {
    const [line] = (await Promise.race([once(lines, 'line'), once(lines, 'close').then(() => [''])])) as [string]
    return line
  } finally {
    lines.close()
    ask('\n')
  }
}

async function readAll(stdin: SecretSource['stdin']): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stdin) {
    chunks.push(Buffer.from(chunk))
    size += chunk.length
    if (size > maxBytes) throw usageError(`stdin has more than ${maxBytes} bytes.`)
  }

  return Buffer.concat(chunks).toString('utf8')
}
