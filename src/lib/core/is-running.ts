import {errorCode} from './errors.ts'

/** Whether there is a process with this pid, also one of another user. It may be another one than before. */
export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return errorCode(error) !== 'ESRCH'
  }
}
