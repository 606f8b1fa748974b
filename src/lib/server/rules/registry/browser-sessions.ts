import {isoTime, parseTime} from '../../../core/clock.ts'
import type {Draft, Rule} from '../../state/draft.ts'
import {all, type BrowserSession} from '../../state/records.ts'
import type {State} from '../../state/state.ts'

/** A browser must log in again after this time. */
export const sessionMs = 12 * 60 * 60_000
/** A link that logs a browser in works for this time. */
export const linkMs = 60_000
/** Of one token. The oldest make room for new ones. */
const maxSessions = 100
const maxLinks = 1000

/** Whose rights a browser gets. `token`: the hash of a token. `by`: its name. */
export type Login = {token: string; by: string | null}

/** Logs a browser in. `hash`: of the secret that it gets as a cookie. */
export const openBrowserSession: Rule<Login & {hash: string}, BrowserSession> = (draft, {hash, token, by}) => {
  forgetOver(draft)
  const own = [...draft.find('browserSessionsOf', token)]
  for (const session of own.slice(0, Math.max(0, own.length - maxSessions + 1)))
    draft.remove('browserSession', session.hash)
  const session = {hash, token, created_at: draft.timestamp, ends_at: isoTime(draft.now + sessionMs)}
  draft.put('browserSession', hash, session)
  draft.audit('page.login', {who: by, detail: `until ${session.ends_at}`})
  return session
}

/** Logs a browser out. */
export const closeBrowserSession: Rule<{hash: string; by: string | null}, void> = (draft, {hash, by}) => {
  if (!draft.get('browserSession', hash)) return
  draft.remove('browserSession', hash)
  draft.audit('page.logout', {who: by})
}

/** Makes a link that logs a browser in. `hash`: of its code. */
export const createPageLink: Rule<{hash: string; token: string}, void> = (draft, {hash, token}) => {
  forgetOver(draft)
  const links = [...draft.find('pageLinks', all)]
  for (const link of links.slice(0, Math.max(0, links.length - maxLinks + 1))) draft.remove('pageLink', link.hash)
  draft.put('pageLink', hash, {hash, token, until: draft.now + linkMs})
}

/** The hash of the token of a link, if the link still works. */
export function pageLinkOf(state: State, hash: string): string | undefined {
  const link = state.get('pageLink', hash)
  return link && link.until > state.now ? link.token : undefined
}

/** Uses a link up. Returns the hash of its token, or undefined if it was used before or is too old. */
export const usePageLink: Rule<{hash: string}, string | undefined> = (draft, {hash}) => {
  const link = draft.get('pageLink', hash)
  if (!link) return undefined
  draft.remove('pageLink', hash)
  return link.until > draft.now ? link.token : undefined
}

/** The session of a browser, unless it is over. */
export function browserSessionOf(state: State, hash: string): Readonly<BrowserSession> | undefined {
  const session = state.get('browserSession', hash)
  return session && !isOver(session, state.now) ? session : undefined
}

const isOver = ({ends_at}: Readonly<BrowserSession>, now: number) => (parseTime(ends_at) ?? 0) <= now

/** Removes what is over, whenever something is added. So nothing needs a timer. */
function forgetOver(draft: Draft): void {
  for (const session of [...draft.find('browserSessions', all)])
    if (isOver(session, draft.now)) draft.remove('browserSession', session.hash)
  for (const link of [...draft.find('pageLinks', all)]) if (link.until <= draft.now) draft.remove('pageLink', link.hash)
}
