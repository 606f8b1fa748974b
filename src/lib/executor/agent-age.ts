import {statSync} from 'node:fs'
import {join} from 'node:path'
import type {Clock} from '../core/clock.ts'
import {ageMs, type ProcessIdentity} from './processes/processes.ts'
import {runFiles} from './spool/file-names.ts'

/** The age of an agent in ms. If /proc hides it, that of its control group, which was recorded just before its start. */
export function agentAgeMs(root: ProcessIdentity, runDir: string, clock: Clock): number {
  if (root.cgroup === undefined) return ageMs(root)
  const record = statSync(join(runDir, runFiles.group), {throwIfNoEntry: false})
  return record ? Math.max(0, clock.now() - record.mtimeMs) : 0
}
