import {spawnSync} from 'node:child_process'
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {ExpectedError, messageOf, usageError} from './lib/core/errors.ts'

/** What follows this line is not a part of the prompt. Prompts are Markdown, so lines that begin with # are. */
const scissors = '------------------------ >8 ------------------------'

/** A text that was written in an editor. */
export type Edited = {
  text: string
  /** The file with the text, for a message if it could not be used. */
  file: string
  /** Removes the file. */
  discard: () => void
}

/**
 * Lets the user write a prompt in the editor of $VISUAL or $EDITOR (default: vi). `about`: lines for the user below the
 * text. Throws ExpectedError: the editor cannot be started or fails (1), or nothing was written (2).
 */
export function editPrompt(about: readonly string[]): Edited {
  const folder = mkdtempSync(join(tmpdir(), 'a2a-prompt-'))
  const file = join(folder, 'PROMPT.md')
  const discard = () => rmSync(folder, {recursive: true, force: true})
  const help = ['Write above this line what the agent is to do. Everything from it on is left out.', ...about]
  writeFileSync(file, `\n\n${scissors}\n${help.join('\n')}\n`, {mode: 0o600})
  const editor = process.env['VISUAL'] || process.env['EDITOR'] || 'vi'
  // An editor may be given with arguments, for example `code --wait`, so a shell reads it.
  const {status, signal, error} = spawnSync('/bin/sh', ['-c', `${editor} "$1"`, 'sh', file], {stdio: 'inherit'})
  if (error || status !== 0) {
    const why = error ? messageOf(error) : signal ? `it was ended by ${signal}` : `it exited with ${status}`
    throw new ExpectedError(`The editor ${editor} failed: ${why}.`, {
      code: 'EDITOR',
      exit: 'failed',
      suggestions: [`Choose one with EDITOR. Your text is in ${file}.`],
    })
  }
  const [text = ''] = readFileSync(file, 'utf8').split(scissors)
  if (text.trim() === '') {
    discard()
    throw usageError('Nothing was written, so no task was created.')
  }
  return {text: text.trim(), file, discard}
}
