import {isDiskFull} from './disk-full.ts'
import {errorCode, ExpectedError} from './errors.ts'

/** Codes of system errors that lie with the machine: no processes, descriptors or memory, a broken or vanished disk. */
const machineCodes = new Set(['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE', 'EROFS', 'EIO', 'ESTALE', 'ENODEV', 'ENOTCONN'])

/**
 * Whether the cause of an error lies with this machine and not with the task. The task can then run elsewhere, or here
 * later.
 */
export function isMachineFault(error: unknown): boolean {
  if (isDiskFull(error)) return true
  if (error instanceof ExpectedError && error.isMachineFault !== undefined) return error.isMachineFault
  return machineCodes.has(errorCode(error) ?? '')
}
