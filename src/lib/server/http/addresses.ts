import {X509Certificate} from 'node:crypto'
import {hostname, networkInterfaces} from 'node:os'
import {isLoopback} from '../../core/loopback.ts'

export type Listening = {
  /** What the server listens on. */
  host: string
  port: number
  /** The certificate (PEM), if the server speaks HTTPS. */
  certificate?: string | Buffer | undefined
}

/**
 * The addresses by which workers and clients can reach a server, best first: the names of its certificate, or its host
 * name and the addresses of its network interfaces. One address if it listens on only one.
 */
export function reachableAddresses({host, port, certificate}: Listening): string[] {
  const isAny = host === '0.0.0.0' || host === '::'
  const named = certificate === undefined ? [] : certificateNames(certificate)
  const hosts = isLoopback(host) || !isAny ? [host] : [hostname(), ...interfaceAddresses(host === '::')]
  const scheme = certificate === undefined ? 'http' : 'https'
  return [...new Set(named.length > 0 ? named : hosts)].map((name) => `${scheme}://${bracketed(name)}:${port}`)
}

const bracketed = (host: string) => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host)

/** Link-local addresses need the name of an interface, so they cannot be given away. */
const interfaceAddresses = (withIPv6: boolean): string[] =>
  Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({internal, family, address}) => !internal && (family === 'IPv4' || (withIPv6 && !/^fe80:/i.test(address))))
    .map(({address}) => address)

/** The names and addresses that clients accept. A pattern like `*.example.org` is no address. */
function certificateNames(pem: string | Buffer): string[] {
  const names = new X509Certificate(pem).subjectAltName?.split(', ') ?? []
  return names
    .map((entry) => /^(?:DNS|IP Address):(.+)$/.exec(entry)?.[1] ?? '')
    .filter((name) => name !== '' && !name.includes('*'))
}
