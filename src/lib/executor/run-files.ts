import {closeSync, fstatSync, fsyncSync, mkdirSync, openSync, readSync, statfsSync, writeSync} from 'node:fs'
import {join} from 'node:path'
import {ExpectedError, errorCode, messageOf} from '../core/errors.ts'
import {runFiles} from './executor.ts'

/** Descriptors for the agent: the prompt to read, the spool and the log to append to. */
export type RunDescriptors = Disposable & {stdin: number; stdout: number; stderr: number}

/**
 * Makes the files of a run in its folder and opens them. The prompt is on disk before the agent starts, and is a file
 * rather than a pipe: a pipe whose writer dies delivers half a prompt with a clean end. Throws ExpectedError (73).
 */
export function openRunFiles(runDir: string, prompt: string): RunDescriptors {
  const open: number[] = []
  const keep = (fd: number) => {
    open.push(fd)
    return fd
  }
  try {
    mkdirSync(join(runDir, runFiles.tmp), {recursive: true, mode: 0o700})
    writePrompt(join(runDir, runFiles.prompt), prompt)
    const stdin = keep(openSync(join(runDir, runFiles.prompt), 'r'))
    const stdout = keep(openSync(join(runDir, runFiles.stdout), 'a', 0o600))
    const stderr = keep(openSync(join(runDir, runFiles.stderr), 'a', 0o600))
    return {stdin, stdout, stderr, [Symbol.dispose]: () => open.forEach((fd) => closeSync(fd))}
  } catch (error) {
    for (const fd of open) closeSync(fd)
    throw cannotPrepare(runDir, error)
  }
}

function writePrompt(path: string, prompt: string): void {
  const fd = openSync(path, 'w', 0o600)
  try {
    const bytes = Buffer.from(prompt)
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

const cannotPrepare = (runDir: string, error: unknown) =>
  new ExpectedError(
    errorCode(error) === 'ENOSPC'
      ? `The disk is full: the files of the run cannot be written in ${runDir}.`
      : `The files of the run cannot be written in ${runDir}: ${messageOf(error)}.`,
    {
      code: 'CANNOT_WRITE',
      exit: 'cannotWrite',
      suggestions: ['Free space there, or choose another state_dir.'],
      cause: error,
    },
  )

const tailBytes = 64 * 1024

/** The end of what the agent printed on stderr; empty when it cannot be read. */
export function readTail(path: string): string {
  try {
    const fd = openSync(path, 'r')
    try {
      const size = fstatSync(fd).size
      const buffer = Buffer.alloc(Math.min(size, tailBytes))
      readSync(fd, buffer, 0, buffer.length, size - buffer.length)
      return buffer.toString()
    } finally {
      closeSync(fd)
    }
  } catch {
    return ''
  }
}

export function isDiskFull(path: string): boolean {
  try {
    const {bavail, bsize} = statfsSync(path)
    return bavail * bsize < tailBytes
  } catch {
    return false
  }
}
