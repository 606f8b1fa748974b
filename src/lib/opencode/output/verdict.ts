import {mentionsDiskFull} from '../../core/disk-full.ts'
import type {FinalStatus} from '../../protocol/schemas.ts'
import {explainPermission, lastRequest} from './permission-request.ts'
import type {RunRecord} from './record.ts'
import {lastLines} from './tail.ts'

export type Evidence = {
  record: RunRecord
  /** How the process ended. Undefined if unknown, because it was not our child. */
  exit: {code: number | null; signal: string | null} | undefined
  /** The end of its stderr. */
  stderr: string
  /** Why the run was stopped, if it was stopped before it finished by itself. */
  stop: {status: 'cancelled' | 'failed'; error: string} | undefined
  /** The requested model. */
  model: string | undefined
  /** Whether the disk was full at the end of the run or before. Lines may be missing then. */
  isDiskFull: boolean
  /** Whether the kernel has killed a process of the worker's control group during the run because memory ran out. */
  isOutOfMemory?: boolean
}

export type Verdict = {status: FinalStatus; error: string | null}

/**
 * Judges whether the task was done: its last turn must have ended. The exit code proves nothing. It is 0 after a rejected
 * permission, and in older versions after any error. It is 1 after an error from which OpenCode recovered.
 */
export function judge(evidence: Evidence): Verdict {
  const {record, stop} = evidence
  if (stop) return {status: stop.status, error: stop.error || `the run was ${stop.status}`}
  if (record.finished && !record.error) return {status: 'completed', error: null}
  return {status: 'failed', error: failureOf(evidence)}
}

function failureOf(evidence: Evidence): string {
  const {record, stderr, isDiskFull, isOutOfMemory} = evidence
  if (record.error) return describeError(record.error, evidence)
  const permission = rejectedPermission(evidence)
  if (permission) return permission
  const printed = lastLines(stderr)
  if (isDiskFull) return 'the disk is full: what OpenCode printed is not complete'
  if (mentionsDiskFull(stderr)) return `the disk is full: ${printed}`
  if (isOutOfMemory) return outOfMemory
  const ending = describeExit(evidence)
  if (record.events === 0) return printed || `OpenCode ${ending} and printed ${whatInstead(record)}`
  return `OpenCode ${ending} before the task was done${printed ? `: ${printed}` : ''}`
}

const outOfMemory =
  'out of memory: the kernel killed a process of the run. Raise MemoryMax of the service (or the limit of the container), or lower max_concurrent_tasks'

const whatInstead = ({others}: RunRecord) =>
  others === 0 ? 'nothing' : `no event, only lines of another kind (${others}): is opencode_bin the OpenCode program?`

function describeError({name, message}: {name: string; message: string}, {model, isDiskFull}: Evidence): string {
  const text = message || `OpenCode reported ${name}`
  // Any error may be a consequence of the full disk, because OpenCode's own database fails too.
  if (isDiskFull || mentionsDiskFull(text)) return `the disk is full: ${text}`
  if (name !== 'UnknownError' || !/unexpected server error/i.test(text)) return text
  const requested = model ? `the model ${model}` : 'no model'
  return `${text} (OpenCode reports this also for an unknown model; ${requested} was requested)`
}

/** OpenCode 1.1 prints no event for a rejected call, so stderr is read instead. */
function rejectedPermission({record, stderr}: Evidence): string | undefined {
  const asked = lastRequest(stderr)?.what
  if (!asked && !record.rejectedTool) return undefined
  return explainPermission(asked ?? `for the tool ${record.rejectedTool}`)
}

function describeExit({exit}: Evidence): string {
  if (!exit) return 'ended'
  return exit.signal ? `was ended by ${exit.signal}` : `exited with code ${exit.code}`
}
