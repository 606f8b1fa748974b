import {hostname} from 'node:os'
import {isLoopback} from '../../core/loopback.ts'
import {HttpError} from './http-error.ts'

/** Reads a request header. Browsers set the headers used here themselves; a page cannot change them. */
type Header = (name: 'origin' | 'host' | 'sec-fetch-site' | 'sec-fetch-mode') => string | undefined

const own = new Set(['localhost', hostname().toLowerCase()])
const isAddress = /^(?:\d+\.\d+\.\d+\.\d+|\[[\da-f:.]+\])$/
const suggestion = 'set A2A_AUTH_TOKENS, and show a token'

/**
 * Returns a guard that refuses requests of web pages from other sites. Without it, any page in a browser that can reach
 * the control plane could give work to this machine's agents. A cross-site page is recognized by `Origin` or Fetch
 * Metadata. A page whose name was made to resolve to this machine (DNS rebinding) still has that name in `Host`;
 * `anyName` allows it, for a proxy in front. Requests with a token are not checked.
 */
export function createCrossSiteGuard(listensOn: string, {anyName = false} = {}): (header: Header) => void {
  const checksName = isLoopback(listensOn) && !anyName
  return (header) => {
    const host = hostIn(header)
    if (isForeign(header)) throw foreign(header, suggestion)
    const name = host.replace(/:\d+$/, '')
    const isOwnName = name === '' || isAddress.test(name) || own.has(name) || name.endsWith('.localhost')
    if (checksName && !isOwnName)
      throw new HttpError(
        403,
        `This control plane is not to be reached as ${name.slice(0, 100)}: ${suggestion}, or serve with --auth off`,
      )
  }
}

/**
 * Refuses requests for the monitor page that a page of another site has sent. For a change, the browser must say that its
 * own page has sent it: all browsers that are in use do.
 */
export function checkOrigin(header: Header, {isChange}: {isChange: boolean}): void {
  const isSaid = header('origin') !== undefined || /^(same-origin|none)$/.test(header('sec-fetch-site') ?? '')
  if (isForeign(header) || (isChange && !isSaid))
    throw foreign(header, 'open the monitor page itself. A proxy in front must pass on the header Host')
}

const hostIn = (header: Header) => (header('host') ?? '').toLowerCase()

function isForeign(header: Header): boolean {
  const origin = header('origin')
  const site = header('sec-fetch-site') ?? ''
  if (site === 'same-origin') return false // the browser knows, also behind a proxy that does not pass the port on
  const isCrossSite = /^(cross|same)-site$/.test(site)
  // A person who follows a link only reads.
  const isNavigation = header('sec-fetch-mode') === 'navigate'
  return origin === undefined ? isCrossSite && !isNavigation : hostOf(origin) !== hostIn(header)
}

const foreign = (header: Header, what: string) =>
  new HttpError(
    403,
    `A page of ${header('origin')?.slice(0, 100) ?? 'elsewhere'} may not use this control plane: ${what}`,
  )

const hostOf = (origin: string) => (URL.canParse(origin) ? new URL(origin).host : '')
