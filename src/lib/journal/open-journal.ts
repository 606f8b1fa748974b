import {renameSync} from 'node:fs'
import {cannotWriteError} from '../config/state-directory.ts'
import {isoTime} from '../core/clock.ts'
import {errorCode, ExpectedError, messageOf} from '../core/errors.ts'
import {Journal, type JournalOptions} from './journal.ts'

/** `now`: Unix ms. `onBroken` is called with a message if the journal was damaged and set aside. */
export type OpenOptions = JournalOptions & {now: number; onBroken: (text: string) => void}

/**
 * Opens the journal. A damaged one is renamed and replaced by an empty one, so that the worker can start. The control
 * plane requeues tasks that the worker does not know, and their processes are ended as orphans. Throws ExpectedError as
 * `Journal.open` does, except for damage.
 */
export async function openJournal(file: string, options: OpenOptions): Promise<Journal> {
  const {now, onBroken} = options
  try {
    return await Journal.open(file, options)
  } catch (error) {
    if (!(error instanceof ExpectedError) || error.code !== 'DATABASE_CORRUPT') throw error
    const aside = `${file}.broken-${isoTime(now).replaceAll(/[:.]/g, '-')}`
    for (const part of ['', '-wal', '-shm']) move(`${file}${part}`, `${aside}${part}`)
    onBroken(
      `The journal of this worker is damaged (${messageOf(error.cause ?? error)}). It was moved to ${aside}. The control plane will requeue its runs, and their processes are ended here.`,
    )
    return await Journal.open(file, options)
  }
}

function move(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw cannotWriteError(to, error)
  }
}
