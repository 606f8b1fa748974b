import {renameSync} from 'node:fs'
import {cannotWriteError} from '../config/state-directory.ts'
import {isoTime} from '../core/clock.ts'
import {errorCode, ExpectedError, messageOf} from '../core/errors.ts'
import {Journal, type JournalOptions} from './journal.ts'

/** `now`: wall clock, ms; `onBroken` is told that the journal was set aside. */
export type OpenOptions = JournalOptions & {now: number; onBroken: (text: string) => void}

/**
 * Opens the journal. One that is damaged is set aside and an empty one takes its place: a worker that cannot start helps
 * nobody, the server puts back what the worker does not know of, and what still runs is ended as an unknown run's.
 * Throws ExpectedError as `Journal.open` does, but for damage.
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
      `The journal of this worker is damaged (${messageOf(error.cause ?? error)}). It was moved to ${aside}; runs that were only in it are given back by the server, and what is left of them here is ended`,
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
