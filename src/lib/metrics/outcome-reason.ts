import type {FinalStatus} from '../protocol/schemas.ts'

/**
 * Why tasks fail, told from their error. Our own errors name the setting that ended a run, or begin with fixed words. The
 * texts of agents and providers are free, so most of their failures are `other`.
 */
const failures: readonly [reason: string, pattern: RegExp][] = [
  ['timeout', /\((?:task|startup|idle|tool)_timeout\)/],
  ['provider', /max_provider_wait|rate.?limit|overloaded|quota|insufficient (?:credit|balance)|\b(?:429|529)\b/i],
  ['limit', /\bmax_(?:cost|tokens|turns|cost_per_day|output_mb)\b/],
  ['memory', /^out of memory\b/],
  ['disk', /^the disk is full\b/],
  ['permission', /^stopped by a permission\b/],
  ['lost', /^worker lost\b|cannot be stopped|died with the worker|given the task to another|holds the task now/],
  ['agent', /exited with code|was ended by|died of|and printed nothing/],
  ['shutdown', /^Worker shut down\b/],
]

/** All values of the label `reason`. */
export const outcomeReasons = ['none', 'cancelled', ...failures.map(([reason]) => reason), 'other']

const maxChars = 2000

/** All outcomes as labels. They begin at 0, so that the first failure is an increase. */
export const outcomes: readonly {status: FinalStatus; reason: string}[] = [
  {status: 'completed', reason: 'none'},
  {status: 'cancelled', reason: 'cancelled'},
  ...[...failures.map(([reason]) => reason), 'other'].map((reason) => ({status: 'failed' as const, reason})),
]

/** Why a task ended as it did: one of `outcomeReasons`. */
export function outcomeReason(status: FinalStatus, error: string | null | undefined): string {
  if (status === 'completed') return 'none'
  if (status === 'cancelled') return 'cancelled'
  const text = (error ?? '').slice(0, maxChars)
  return failures.find(([, pattern]) => pattern.test(text))?.[0] ?? 'other'
}
