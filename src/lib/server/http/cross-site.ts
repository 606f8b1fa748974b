import {hostname} from 'node:os'
import {HttpError} from './http-error.ts'

/** Can only this machine reach what listens there? */
export const isLoopback = (host: string) => /^(127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host)

/** Reads a header of a request. Those that are looked at here a browser writes itself; no page can change them. */
type Header = (name: 'origin' | 'host' | 'sec-fetch-site' | 'sec-fetch-mode') => string | undefined

const own = new Set(['localhost', hostname().toLowerCase()])
const isAddress = /^(?:\d+\.\d+\.\d+\.\d+|\[[\da-f:.]+\])$/
const fix = 'set A2A_AUTH_TOKENS, and show a token'

/**
 * Refuses, of what shows no token, what a web page sends that is open in a browser which can reach the plane: it could
 * give the agents of this machine work. A page of elsewhere says so in `Origin` or Fetch Metadata; one whose name was
 * made to mean this machine (DNS rebinding) still has that name in `Host`; `anyName` allows it, for a proxy in front.
 */
export function createPageGate(listensOn: string, {anyName = false} = {}): (header: Header) => void {
  const isNamed = isLoopback(listensOn) && !anyName
  return (header) => {
    const host = (header('host') ?? '').toLowerCase()
    const origin = header('origin')
    const isOfElsewhere = /^(cross|same)-site$/.test(header('sec-fetch-site') ?? '')
    // Whoever follows a link to here only reads, and sees it himself.
    const isFollowed = header('sec-fetch-mode') === 'navigate'
    if (origin === undefined ? isOfElsewhere && !isFollowed : hostOf(origin) !== host)
      throw new HttpError(
        403,
        `A page of ${origin?.slice(0, 100) ?? 'elsewhere'} may not use this control plane: ${fix}`,
      )
    const name = host.replace(/:\d+$/, '')
    const isOfOurs = name === '' || isAddress.test(name) || own.has(name) || name.endsWith('.localhost')
    if (isNamed && !isOfOurs)
      throw new HttpError(
        403,
        `This control plane is not to be reached as ${name.slice(0, 100)}: ${fix}, or serve with --auth off`,
      )
  }
}

const hostOf = (origin: string) => (URL.canParse(origin) ? new URL(origin).host : '')
