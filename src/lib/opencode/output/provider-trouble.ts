import type {ProviderWait} from './agent-report.ts'

/** What a model provider refuses, as far as it concerns other tasks of the same provider. */
export const providerTroubleKinds = ['auth', 'quota', 'rate_limit', 'unavailable'] as const
export type ProviderTroubleKind = (typeof providerTroubleKinds)[number]

/** A refusal of the model provider that ended a run, or that it waits out. */
export type ProviderTrouble = {
  /** OpenCode's id of the provider. Null if unknown. */
  id: string | null
  kind: ProviderTroubleKind
  /** The provider's own words. */
  message: string
  /** When the provider accepts requests again, as far as it said so (Unix ms). */
  until?: number
}

const quota =
  /quota|billing|insufficient|credit|balance|payment|usage limit|free usage|(?:daily|weekly|monthly|hourly) (?:\w+ )?limit/i
const auth =
  /api[ -]?key|unauthori[sz]ed|authentication|invalid[ _]token|token (?:has )?expired|not logged in|forbidden/i
const rateLimit = /\b429\b|rate[ _-]?limit|rate increased too quickly|too many requests|resource[ _]exhausted/i
const unavailable =
  /\b5(?:00|02|03|04|24|29)\b|overloaded|unavailable|at capacity|(?:internal )?server error|fetch failed|connection (?:refused|error|lost)|socket hang up|econn\w+|enotfound|eai_again|timed? ?out/i

/**
 * The kind of a provider's refusal, by its HTTP status if that is known, else by its words. Undefined if it concerns only
 * the one request, for example because the prompt is too long.
 */
export function providerTroubleKind(message: string, status?: number): ProviderTroubleKind | undefined {
  if (status === 402 || ((status === 429 || status === 403) && quota.test(message))) return 'quota'
  if (status === 401 || status === 403) return 'auth'
  if (status === 429) return 'rate_limit'
  if (status !== undefined) return status >= 500 ? 'unavailable' : undefined
  if (quota.test(message)) return 'quota'
  if (rateLimit.test(message)) return 'rate_limit'
  if (auth.test(message)) return 'auth'
  return unavailable.test(message) ? 'unavailable' : undefined
}

/** A refusal that OpenCode waits out, as provider trouble. */
export function providerRefusal({provider, message, until}: ProviderWait): ProviderTrouble {
  const kind = providerTroubleKind(message) ?? 'rate_limit'
  return {id: provider, kind, message, ...(until === undefined ? {} : {until})}
}
