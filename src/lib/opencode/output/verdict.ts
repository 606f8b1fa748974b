import {constants} from 'node:os'
import {mentionsDiskFull} from '../../core/disk-full.ts'
import type {FinalStatus} from '../../protocol/schemas.ts'
import {type ProviderTrouble, providerTroubleKind} from './provider-trouble.ts'
import {explainPermission, lastRequest} from './permission-request.ts'
import type {AgentError, RunRecord} from './record.ts'
import {lastLines} from './tail.ts'

const {signals} = constants

export type Evidence = {
  record: RunRecord
  /** How the process ended by itself. Undefined if unknown, because it was not our child, or because we ended it. */
  exit: {code: number | null; signal: string | null} | undefined
  /** The end of its stderr. */
  stderr: string
  /** Why the run was stopped, if it was stopped before it finished by itself. */
  stop: {status: 'cancelled' | 'failed'; error: string; provider?: ProviderTrouble} | undefined
  /** The requested model. */
  model: string | undefined
  /** The name of the agent's program, for people. */
  name: string
  /** Whether the disk was full at the end of the run or before. Lines may be missing then. */
  isDiskFull: boolean
  /** Whether the kernel has killed a process of the worker's control group during the run because memory ran out. */
  isOutOfMemory?: boolean
}

export type Verdict = {status: FinalStatus; error: string | null; provider?: ProviderTrouble}

/**
 * Judges whether the task was done: its last turn must have ended. The exit code proves nothing. It is 0 after a rejected
 * permission, and in older versions after any error. It is 1 after an error from which OpenCode recovered. But an agent
 * that died of a signal was not done: it had not exited.
 */
export function judge(evidence: Evidence): Verdict {
  const {record, stop} = evidence
  if (stop) {
    const {status, error, provider} = stop
    return {status, error: error || `the run was ${status}`, ...(provider ? {provider} : {})}
  }
  if (record.finished && !record.error) {
    const signal = deadlySignal(evidence)
    if (signal === undefined) return {status: 'completed', error: null}
    return {status: 'failed', error: `${evidence.name} died of ${signal} after its last event, before it exited`}
  }

  const provider = refusalOf(evidence)
  return {status: 'failed', error: failureOf(evidence), ...(provider ? {provider} : {})}
}

/** The signal that ended the agent. A program that starts OpenCode and waits for it exits with 128 plus its number. */
function deadlySignal({exit}: Evidence): string | undefined {
  if (exit?.signal) return exit.signal
  const number = (exit?.code ?? 0) - 128
  return Object.entries(signals).find(([, value]) => value === number)?.[0]
}

/** Whether the provider has refused the request, and so may refuse those of other tasks. */
function refusalOf({record, model, isDiskFull}: Evidence): ProviderTrouble | undefined {
  const {error} = record
  if (!error || isDiskFull || !/^(?:APIError|ProviderAuthError|AI_\w+|UnknownError|provider[._-].*)$/.test(error.name))
    return undefined
  const kind = error.name === 'ProviderAuthError' ? 'auth' : providerTroubleKind(error.message, error.status)
  if (!kind || (error.name === 'UnknownError' && /unexpected server error/i.test(error.message))) return undefined
  return {id: error.provider ?? model?.split('/')[0] ?? null, kind, message: error.message}
}

function failureOf(evidence: Evidence): string {
  const {record, stderr, isDiskFull, isOutOfMemory, name} = evidence
  if (record.error) return describeError(record.error, evidence)
  const permission = rejectedPermission(evidence)
  if (permission) return permission
  const printed = lastLines(stderr)
  if (isDiskFull) return `the disk is full: what ${name} printed is not complete`
  if (mentionsDiskFull(stderr)) return `the disk is full: ${printed}`
  if (isOutOfMemory) return outOfMemory
  const ending = describeExit(evidence)
  if (record.events === 0) return printed || `${name} ${ending} and printed ${whatInstead(record, name)}`
  return `${name} ${ending} before the task was done${printed ? `: ${printed}` : ''}`
}

const outOfMemory =
  'out of memory: the kernel killed a process of the run. Raise MemoryMax of the service (or the limit of the container), or lower max_concurrent_tasks'

const whatInstead = ({others}: RunRecord, name: string) =>
  others === 0
    ? 'nothing'
    : `no event, only lines of another kind (${others}): is ${name === 'OpenCode' ? 'opencode_bin the OpenCode program' : `this the program of ${name}`}?`

function describeError({name, message}: AgentError, {model, isDiskFull, name: program}: Evidence): string {
  const text = message || `${program} reported ${name}`
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
