import {
  closeSync,
  constants,
  fsync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {ExpectedError, errorCode, messageOf} from '../core/errors.ts'
import {runFiles} from './spool/file-names.ts'

export type OpenRunFiles = Disposable & {stdin: number; stdout: number; stderr: number; report: number}

/** A file that an agent writes. */
export const append = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT
const sync = promisify(fsync)
const newline = 10

/** Writes the prompt, synced to disk, and creates the temporary folder. Resolves with that folder's real path. */
export async function writeRunFiles(runDir: string, prompt: string): Promise<string> {
  const tmpDir = join(runDir, runFiles.tmp)
  try {
    const fd = openSync(join(runDir, runFiles.prompt), 'w', 0o600)
    try {
      writeFileSync(fd, prompt)
      const written = sync(fd)
      mkdirSync(tmpDir, {recursive: true, mode: 0o700})
      await written
    } finally {
      closeSync(fd)
    }
    return realpathSync.native(tmpDir)
  } catch (error) {
    throw cannotWrite(runDir, error)
  }
}

/** Name and flags of open(2). */
type Opened = [name: string, flags: number]

/** The prompt of a run, as it is in its folder. */
export const promptOf = (runDir: string): string => readFileSync(join(runDir, runFiles.prompt), 'utf8')

/** Opens the agent's three standard streams, and the file for its report. Dispose of them once the child runs: it has its own copies. */
export function openFiles(runDir: string, {stdin, stdout}: {stdin: Opened; stdout: Opened}): OpenRunFiles {
  const opened: number[] = []
  const openFile = ([name, flags]: Opened) => {
    const fd = openSync(join(runDir, name), flags, 0o600)
    opened.push(fd)
    return fd
  }
  const close = () => {
    for (const fd of opened) closeSync(fd)
  }
  try {
    // The upload of the spool begins with the agent, also where the spool is folded from what the agent prints.
    openFile([runFiles.stdout, append])
    return {
      stdin: openFile(stdin),
      stdout: openFile(stdout),
      stderr: openFile([runFiles.stderr, append]),
      report: openFile([runFiles.report, append]),
      [Symbol.dispose]: close,
    }
  } catch (error) {
    close()
    throw cannotWrite(runDir, error)
  }
}

/** Terminates an incomplete last line of a killed agent, so that the next agent's output begins on a new line. */
export function endLine(path: string): void {
  const size = statSync(path, {throwIfNoEntry: false})?.size ?? 0
  if (size === 0) return
  const file = openSync(path, constants.O_RDWR | constants.O_APPEND)
  try {
    const last = Buffer.alloc(1)
    readSync(file, last, 0, 1, size - 1)
    if (last[0] !== newline) writeSync(file, '\n')
  } finally {
    closeSync(file)
  }
}

/** Removes the files of a run that did not begin. */
export function removeRunFiles(runDir: string): void {
  for (const name of Object.values(runFiles)) rmSync(join(runDir, name), {recursive: true, force: true})
}

const explanations: Record<string, string> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EACCES: 'permission denied',
  EMFILE: 'too many files are open',
}

export function cannotWrite(runDir: string, error: unknown): ExpectedError {
  const why = explanations[errorCode(error) ?? ''] ?? messageOf(error)
  return new ExpectedError(`cannot write the run's files in ${runDir}: ${why}`, {
    code: 'RUN_FILES',
    exit: 'cannotWrite',
    suggestions: ['Check the space and the owner of the state directory (setting `state_dir`)'],
    cause: error,
    isMachineFault: true,
  })
}
