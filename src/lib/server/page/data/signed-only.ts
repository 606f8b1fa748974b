import {signedOnly} from '../../../protocol/features.ts'
import {HttpError} from '../../http/http-error.ts'
import {connectionsFor} from '../../rules/dispatch/roster.ts'
import type {State} from '../../state/state.ts'

/** Whether a worker takes only what is signed. The page signs nothing. */
export const takesSignedOnly = (state: State, workerId: string | null | undefined): boolean =>
  state.get('worker', workerId ?? '')?.features.includes(signedOnly) ?? false

/** Whether that holds for all workers that may take tasks of a codebase. */
export function needsSignature(state: State, codebaseId: string): boolean {
  const connected = connectionsFor(state, codebaseId).map(({workerId}) => workerId)
  const workers = connected.length > 0 ? connected : [state.get('codebase', codebaseId)?.worker_id]
  return workers.every((id) => takesSignedOnly(state, id))
}

const create = (codebaseId: string) => `a2a-worker tasks create --codebase ${codebaseId} --key FILE`

/** The command that creates a task here, with a signature. */
export const signedTask = (codebaseId: string) => `${create(codebaseId)} "PROMPT"`

/** The command that goes on with a session. */
export const signedResume = (codebaseId: string, sessionId: string) =>
  `${create(codebaseId)} --resume ${sessionId} "PROMPT"`

/** The commands that answer a question, and that say something. */
export const signedAnswer = (taskId: string, answer = 'ANSWER') =>
  `a2a-worker tasks answer ${taskId} ${answer} --key FILE`
export const signedWords = (taskId: string) => `a2a-worker tasks say ${taskId} "TEXT" --key FILE`

export const signedOnlyText =
  'This worker takes only what a trusted key has signed, and the page has no key. Run this where the key is:'

/** Refuses what the worker would refuse. Throws 422. */
export function checkUnsigned(isRefused: boolean, command: string): void {
  if (isRefused) throw new HttpError(422, `${signedOnlyText} ${command}`)
}
