import type {Config} from '../../config/settings.ts'
import type {Clock} from '../../core/clock.ts'
import type {Emit} from '../../events/bus.ts'
import type {Journal} from '../../journal/journal.ts'
import type {Task} from '../../protocol/schemas.ts'
import {readTrustedKeys} from '../../signing/key-files.ts'
import {formatPublicKey} from '../../signing/keys.ts'
import type {SignedCodebase} from '../../signing/task-claims.ts'
import {verifyTask, type SignatureProblem} from '../../signing/verify-task.ts'

export type SignatureOptions = {
  config: Config
  clock: Clock
  emit: Emit
  journal: Pick<Journal, 'bindNonce'>
}

/** `signedBy`: the public key, as `trusted_keys` has it. Null: none, or none that counts. */
export type SignatureVerdict = {signedBy: string | null; problem?: string}

/** Checks the signature of a task as `verify_tasks` says. Rejects with ExpectedError if the trusted keys cannot be read. */
export async function checkSignature(
  task: Task,
  codebase: SignedCodebase,
  options: SignatureOptions,
): Promise<SignatureVerdict> {
  const {config, emit} = options
  if (config.verify_tasks === 'off') return {signedBy: null}
  const found = await verify(task, codebase, options)
  if ('signedBy' in found) return found
  const problem = `verify_tasks (${found.rule}): ${found.text}`
  if (config.verify_tasks === 'require') return {signedBy: null, problem}
  const text = `This task runs although its signature would be refused by ${problem}`
  emit({type: 'notice', level: 'warn', taskId: task.id, text})
  return {signedBy: null}
}

async function verify(
  task: Task,
  codebase: SignedCodebase,
  {config, clock, journal}: SignatureOptions,
): Promise<{signedBy: string} | SignatureProblem> {
  const now = clock.now()
  const verified = await verifyTask(task, codebase, readTrustedKeys(config.trusted_keys), now)
  if ('rule' in verified) return verified
  const {signer, nonce, validUntil} = verified
  const first = journal.bindNonce({key: signer.x, nonce, taskId: task.id, validUntil, now})
  if (first !== task.id)
    return {rule: 'replayed', text: `This signature belongs to the task ${first}, and this is a copy.`}
  return {signedBy: formatPublicKey(signer)}
}
