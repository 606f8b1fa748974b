import {statSync} from 'node:fs'
import {join} from 'node:path'
import {openRequest, type PermissionRequest} from '../opencode/output/permission-request.ts'
import {runFiles} from './spool/file-names.ts'
import {readTail} from './spool/read-tail.ts'

/** The permission that the agent asks for, if that is the last thing that it printed on either stream. */
export function awaitedPermission(runDir: string, stderrFrom: number): PermissionRequest | undefined {
  const stderr = join(runDir, runFiles.stderr)
  // Compares times of one file system. An event that followed may not be read yet.
  if (changedAt(stderr) <= changedAt(join(runDir, runFiles.stdout))) return undefined
  return openRequest(readTail(stderr, stderrFrom))
}

function changedAt(path: string): number {
  try {
    return statSync(path, {throwIfNoEntry: false})?.mtimeMs ?? 0
  } catch {
    return 0 // the folder was removed
  }
}
