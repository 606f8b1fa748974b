import {closeSync, constants, openSync, writeSync} from 'node:fs'
import {spawnSync} from 'node:child_process'
import type {Clock} from '../../core/clock.ts'
import {ExpectedError, errorCode} from '../../core/errors.ts'

/**
 * The named pipe that is the standard input of an agent. The agent itself holds it open for reading and writing, so it
 * sees no end of input when its worker dies, and another worker process can write to it.
 */
export function createStdin(path: string): void {
  const {status, error, stderr} = spawnSync('mkfifo', ['-m', '600', path])
  if (status === 0) return
  const why = error?.message ?? String(stderr).trim()
  throw new ExpectedError(`cannot create the named pipe ${path}: ${why}`, {
    code: 'RUN_FILES',
    exit: 'cannotWrite',
    isMachineFault: true,
  })
}

/** How it is opened for the agent. It never blocks this way (fifo(7)). */
export const stdinOfAgent = constants.O_RDWR

const retryMs = 5

export type AgentStdin = Disposable & {
  /** Writes all of it, while the agent reads. Resolves with false if the agent has ended, or `signal` was aborted. */
  write(text: string, signal: AbortSignal): Promise<boolean>
}

/**
 * Opens it for a worker. Writes do not block: a blocked one would occupy a thread of libuv until the agent reads. A pipe
 * takes 64 KiB at once.
 */
export function openStdin(path: string, clock: Clock): AgentStdin {
  const fd = open(path)
  return {
    async write(text, signal) {
      const bytes = Buffer.from(text)
      for (let at = 0; at < bytes.length;) {
        if (fd === undefined || signal.aborted) return false
        const written = writeSome(fd, bytes.subarray(at))
        if (written === undefined) return false
        at += written
        if (written === 0) await clock.sleep(retryMs, signal)
      }
      return true
    },
    [Symbol.dispose]() {
      if (fd !== undefined) closeSync(fd)
    },
  }
}

/** Undefined if no agent reads. */
function open(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (errorCode(error) === 'ENXIO' || errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** The number of bytes that were written. Undefined if the agent has ended. */
function writeSome(fd: number, bytes: Buffer): number | undefined {
  try {
    return writeSync(fd, bytes)
  } catch (error) {
    if (errorCode(error) === 'EAGAIN') return 0
    if (errorCode(error) === 'EPIPE') return undefined
    throw error
  }
}
