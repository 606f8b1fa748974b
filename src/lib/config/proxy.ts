import {BlockList, isIP} from 'node:net'
import {configError} from '../core/errors.ts'
import {isLoopback} from '../core/loopback.ts'
import type {Environment} from './file.ts'

/** A proxy for HTTP, and the setting or variable that names it. */
export type Proxy = {url: string; source: string}

/** The value of the setting that switches off the proxy of the environment. */
const noProxy = 'none'

/** Why a text is not the address of a proxy, or undefined if it is one. */
export function proxyProblem(text: string): string | undefined {
  if (text === noProxy) return undefined
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url && ['http:', 'https:'].includes(url.protocol) && url.hostname !== '') return undefined
  return `must be an address like http://host:3128, or ${noProxy}`
}

/**
 * The proxy on the way to a server: the setting, or else `HTTPS_PROXY` or `HTTP_PROXY` unless `NO_PROXY` excludes the
 * server. Lower case comes first, as in curl. Never for loopback. Throws ExpectedError (78) for a malformed variable.
 */
export function proxyFor(server: string, {setting, env}: {setting: string | undefined; env: Environment}) {
  const url = new URL(server)
  if (isLoopback(url.hostname) || setting === noProxy) return undefined
  if (setting !== undefined) return {url: setting, source: 'the setting proxy'}
  const found = fromEnvironment(url.protocol, env)
  if (!found || isExcluded(url, env['no_proxy'] ?? env['NO_PROXY'] ?? '')) return undefined
  const problem = proxyProblem(found.url)
  if (problem === undefined) return found
  throw configError(
    `Bad proxy (${found.source}): ${problem}.`,
    `Correct ${found.source}, set "proxy" in the configuration, or set it to ${noProxy}.`,
  )
}

function fromEnvironment(protocol: string, env: Environment): Proxy | undefined {
  const plain = ['http_proxy', 'HTTP_PROXY']
  const names = protocol === 'https:' ? ['https_proxy', 'HTTPS_PROXY', ...plain] : plain
  const source = names.find((name) => env[name])
  if (source === undefined) return undefined
  const text = env[source] ?? ''
  return {url: text.includes('://') ? text : `http://${text}`, source}
}

/**
 * Whether `NO_PROXY` excludes the server. Entries are separated by commas or spaces: `*`, a host, `.domain` or `domain`
 * with all its hosts, an address, or a range (`10.0.0.0/8`), each with a `:port` if only that port is meant.
 */
function isExcluded(url: URL, list: string): boolean {
  const host = url.hostname.replaceAll(/[[\]]|\.$/g, '').toLowerCase()
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      const [, name = entry, onlyPort = port] = /^(\[.+\]|[^:]+):(\d+)$/.exec(entry) ?? []
      return onlyPort === port && matches(host, name.replaceAll(/[[\]]|\.$/g, ''))
    })
}

function matches(host: string, entry: string): boolean {
  if (entry === '*') return true
  const [address = '', bits] = entry.split('/')
  if (bits !== undefined) return isInRange(host, address, Number(bits))
  const domain = entry.replace(/^\*?\./, '')
  return host.endsWith(`.${domain}`) || (host === domain && !entry.startsWith('*'))
}

function isInRange(host: string, address: string, bits: number): boolean {
  const family = isIP(host) === 6 ? 'ipv6' : 'ipv4'
  const most = family === 'ipv6' ? 128 : 32
  if (isIP(host) === 0 || isIP(host) !== isIP(address) || !(bits >= 0 && bits <= most)) return false
  const range = new BlockList()
  range.addSubnet(address, bits, family)
  return range.check(host, family)
}

/** The passwords of all proxies that an environment or the setting names. They must not leave the machine. */
export function proxyPasswords(setting: string | undefined, env: Environment): string[] {
  const values = Object.entries(env).flatMap(([name, value]) => (/^(?:https?|all)_proxy$/i.test(name) ? value : []))
  return [setting, ...values].flatMap((text = '') => {
    const password = /^(?:\w+:\/\/)?[^/@]*?:([^/]*)@/.exec(text)?.[1]
    return password ? [password, decode(password)] : []
  })
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
