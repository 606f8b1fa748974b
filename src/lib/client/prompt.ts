import {readFile} from 'node:fs/promises'
import {messageOf, usageError} from '../core/errors.ts'
import {limits} from '../protocol/limits.ts'

export type PromptSource = {
  argument: string | undefined
  file: string | undefined
  stdin: AsyncIterable<Uint8Array | string> & {isTTY?: boolean}
}

/**
 * Reads the prompt from one source: the argument, a file, or stdin for `-`. Throws ExpectedError (2) if there is no
 * source or more than one, or if the prompt is empty, over 1 MiB or not UTF-8.
 */
export async function readPrompt({argument, file, stdin}: PromptSource): Promise<string> {
  if (argument !== undefined && file !== undefined)
    throw usageError('Give the prompt as an argument or with --file, not both.')
  if (argument === undefined && file === undefined)
    throw usageError('There is no prompt.', 'Give it as an argument, with --file FILE, or on stdin with -.')
  const prompt =
    file !== undefined ? await fromFile(file) : argument === '-' ? await fromStdin(stdin) : (argument ?? '')
  if (prompt.trim() === '') throw usageError('The prompt is empty.')
  const bytes = Buffer.byteLength(prompt)
  if (bytes > limits.prompt) throw tooLong(bytes)
  return prompt
}

const tooLong = (bytes: number) =>
  usageError(
    `The prompt has ${bytes} bytes; at most ${limits.prompt} (1 MiB) are allowed.`,
    'Put long material in a file of the codebase and name it in the prompt.',
  )

async function fromFile(path: string): Promise<string> {
  try {
    return decode(await readFile(path), path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'syscall' in error)
      throw usageError(`The prompt file ${path} cannot be read: ${messageOf(error)}.`)
    throw error
  }
}

async function fromStdin(stdin: PromptSource['stdin']): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk)
    size += bytes.length
    if (size > limits.prompt) throw tooLong(size)
    chunks.push(bytes)
  }

  return decode(Buffer.concat(chunks), 'stdin')
}

function decode(bytes: Uint8Array, source: string): string {
  try {
    return new TextDecoder('utf-8', {fatal: true}).decode(bytes)
  } catch {
    throw usageError(`The prompt from ${source} is not UTF-8 text.`)
  }
}

/** The first non-empty line, shortened to the length of a title. */
export function titleOf(prompt: string): string {
  const line = prompt.split('\n').find((text) => text.trim() !== '') ?? prompt
  const title = line.trim().replaceAll(/\s+/g, ' ')
  return title.length > 80 ? `${title.slice(0, 79)}…` : title
}
