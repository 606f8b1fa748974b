import {mentionsDiskFull} from '../../core/disk-full.ts'
import type {FinalStatus} from '../../protocol/schemas.ts'
import {explainPermission, lastRequest} from './permission-request.ts'
import type {RunRecord} from './record.ts'
import {lastLines} from './tail.ts'

export type Evidence = {
  record: RunRecord
  /** How the process ended; undefined where that is not known (it was not our child). */
  exit: {code: number | null; signal: string | null} | undefined
  /** The end of what it printed on stderr. */
  stderr: string
  /** Why the run was ended early, if it was, and before it had finished by itself. */
  stop: {status: 'cancelled' | 'failed'; error: string} | undefined
  /** The model that was asked for. */
  model: string | undefined
  /** Whether the disk of the run's files was full when it ended, or before: then lines may be missing. */
  isDiskFull: boolean
}

export type Verdict = {status: FinalStatus; error: string | null}

/**
 * Whether the task was done. The exit code alone never says so: it is 0 after a rejected permission, and in older
 * versions after any error; it is 1 after an error that was made good. Done means that the last turn came to its end.
 */
export function judge(evidence: Evidence): Verdict {
  const {record, stop} = evidence
  if (stop) return {status: stop.status, error: stop.error || `the run was ${stop.status}`}
  if (record.finished && !record.error) return {status: 'completed', error: null}
  return {status: 'failed', error: reasonOf(evidence)}
}

function reasonOf(evidence: Evidence): string {
  const {record, stderr, isDiskFull} = evidence
  if (record.error) return describeError(record.error, evidence)
  const permission = rejectedPermission(evidence)
  if (permission) return permission
  const said = lastLines(stderr)
  if (isDiskFull) return 'the disk is full: what OpenCode printed is not complete'
  if (mentionsDiskFull(stderr)) return `the disk is full: ${said}`
  const ending = describeExit(evidence)
  if (record.events === 0) return said || `OpenCode ${ending} and printed ${whatInstead(record)}`
  return `OpenCode ${ending} before the task was done${said ? `: ${said}` : ''}`
}

const whatInstead = ({others}: RunRecord) =>
  others === 0 ? 'nothing' : `no event, only lines of another kind (${others}): is opencode_bin the OpenCode program?`

function describeError({name, message}: {name: string; message: string}, {model, isDiskFull}: Evidence): string {
  const text = message || `OpenCode reported ${name}`
  // Whatever it stumbled over in the end: on a full disk its own database, too, takes nothing.
  if (isDiskFull || mentionsDiskFull(text)) return `the disk is full: ${text}`
  if (name !== 'UnknownError' || !/unexpected server error/i.test(text)) return text
  const asked = model ? `the model ${model}` : 'no model'
  return `${text} (OpenCode says this also of a model it does not know; ${asked} was asked for)`
}

/** 1.1 prints no event for a rejected call, so the line on stderr has to do. */
function rejectedPermission({record, stderr}: Evidence): string | undefined {
  const asked = lastRequest(stderr)?.what
  if (!asked && !record.rejectedTool) return undefined
  return explainPermission(asked ?? `for the tool ${record.rejectedTool}`)
}

function describeExit({exit}: Evidence): string {
  if (!exit) return 'ended'
  return exit.signal ? `was ended by ${exit.signal}` : `exited with code ${exit.code}`
}
