import type {RunOutcome} from '../../executor/executor.ts'
import {providerTroubleKind} from '../../opencode/output/provider-trouble.ts'
import {allowHint} from '../../opencode/program/withheld.ts'

const unknownModel = /unknown model|model .*not found|ProviderModelNotFound|has no model/i
const refusedBySsh = /permission denied \(publickey|could not read from remote repository|host key verification failed/i

/** What a failed run may have lacked: the keys, or the agent of SSH, that this worker has and does not pass on. */
export function withheldHint({status, error, provider}: RunOutcome, withheld: readonly string[]): string | undefined {
  if (status !== 'failed' || withheld.length === 0) return undefined
  const text = error ?? ''
  const lacksLogin = provider?.kind === 'auth' || providerTroubleKind(text) === 'auth' || unknownModel.test(text)
  const isSsh = (name: string) => name === 'SSH_AUTH_SOCK'
  const names = withheld.filter((name) => (isSsh(name) ? refusedBySsh.test(text) : lacksLogin))
  return names.length === 0 ? undefined : `agents do not get ${names.join(', ')}; ${allowHint}`
}
