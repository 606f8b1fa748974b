import {errorCode, messageOf} from '../core/errors.ts'
import {tlsProblem} from '../core/tls.ts'
import {LocalPlaneEndedError} from './local-plane.ts'

/** A proxy on the way to the server, and the setting or variable that names it. */
export type Proxy = {url: string; source: string}

/** What went wrong on the way, and who can mend it. */
export type NetworkProblem = {reason: string; code: string; suggestion: string}

const reasons: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there (connection refused)',
  ENOTFOUND: 'the host name is not known',
  EAI_AGAIN: 'the host name cannot be looked up now',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed',
  UND_ERR_SOCKET: 'the connection was closed in mid-answer',
  UND_ERR_CONNECT_TIMEOUT: 'no connection within the time limit',
  UND_ERR_HEADERS_TIMEOUT: 'no answer within the time limit',
  UND_ERR_BODY_TIMEOUT: 'the answer stalled',
  UND_ERR_PRX_CONN: 'the connection was closed before it led to the server',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
}

/** With a proxy, only the proxy itself is connected to. So these codes are about the proxy. */
const connecting = [
  ...['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT'],
  ...['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_PRX_CONN'],
]

/** What to do when the control plane of this machine has ended. */
export const startLocalPlane =
  'It ends with the last worker of this machine. Start both again: run `a2a-worker start` in the directory of a project. Its tasks are kept. To use another control plane, name it with --server.'

export const checkServer =
  'Is the server running and the address right? Check --server, A2A_SERVER_URL and `a2a-worker status`.'

/** Explains an error of the connection to a server. */
export function networkProblem(error: unknown, server: string, proxy: Proxy | undefined): NetworkProblem {
  if (error instanceof LocalPlaneEndedError)
    return {reason: error.message, code: 'LOCAL_PLANE_ENDED', suggestion: startLocalPlane}
  const about = proxy && proxyProblem(error, proxy)
  if (about) return about
  const through = proxy ? `, through ${nameOf(proxy)}` : ''
  return {reason: `${reasonOf(error, server)}${through}`, code: 'SERVER_UNREACHABLE', suggestion: checkServer}
}

/** The proxy without its password: `the proxy http://host:3128 (HTTPS_PROXY)`. */
export const nameOf = ({url, source}: Proxy): string => {
  const {protocol, host} = new URL(url)
  return `the proxy ${protocol}//${host} (${source})`
}

function reasonOf(error: unknown, server: string): string {
  const code = errorCode(error)
  const closed = code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || (code ?? '').startsWith('HPE_')
  const reason = tlsProblem(error) ?? ((code !== undefined && reasons[code]) || messageOf(error))
  if (!closed || hasAnswered(error) || !server.startsWith('http:')) return reason
  return `${code === 'UND_ERR_SOCKET' ? 'the connection was closed without an answer' : reason}; if it speaks HTTPS, use https:// in the address`
}

/** Whether the server had sent something on the connection. A server of HTTPS closes one of plain HTTP at once. */
const hasAnswered = (error: unknown) => ((error as {socket?: {bytesRead?: number}}).socket?.bytesRead ?? 0) > 0

function proxyProblem(error: unknown, proxy: Proxy): NetworkProblem | undefined {
  const status = Number(/Proxy response \((\d+)\)|\((407)\)$/.exec(messageOf(error))?.slice(1).find(Boolean))
  const code = errorCode(error) ?? ''
  const name = nameOf(proxy)
  const elsewhere = `Check ${proxy.source}. If the server needs no proxy, add its host to NO_PROXY, or set proxy to none.`
  if (status === 407)
    return {
      reason: `${name} asks for a user name and password (HTTP 407)`,
      code: 'PROXY_LOGIN',
      suggestion: `Give them in ${proxy.source}: http://USER:PASSWORD@HOST:PORT, with special characters as %40 and the like.`,
    }
  if (status >= 500)
    return {
      reason: `${name} cannot reach the server (HTTP ${status})`,
      code: 'SERVER_UNREACHABLE',
      suggestion: checkServer,
    }
  if (status > 0)
    return {
      reason: `${name} refuses to connect to the server (HTTP ${status})`,
      code: 'PROXY_REFUSED',
      suggestion: elsewhere,
    }
  if (!connecting.includes(code)) return undefined
  return {
    reason: `${name} is out of reach: ${reasons[code] ?? messageOf(error)}`,
    code: 'PROXY_UNREACHABLE',
    suggestion: elsewhere,
  }
}
