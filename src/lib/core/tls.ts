import {errorCode, messageOf} from './errors.ts'

const untrusted = /SELF_SIGNED|UNABLE_TO_(?:GET|VERIFY|DECRYPT)|CERT_UNTRUSTED|INVALID_CA|CERT_CHAIN_TOO_LONG/
const outdated = /CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/
const otherFaults = /^(?:CERT_|CRL_|ERR_TLS_CERT|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH)/

/** Explains an error of TLS: a certificate, or a peer that does not speak TLS. Undefined for other errors. */
export function tlsProblem(error: unknown): string | undefined {
  const code = errorCode(error) ?? ''
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG/.test(`${code} ${messageOf(error)}`))
    return 'it does not speak HTTPS on this port; if it speaks plain HTTP, use http:// in the address'
  if (untrusted.test(code))
    return `no authority that this machine trusts has signed its certificate (${code}); name the certificate of its authority in NODE_EXTRA_CA_CERTS=/path/to/ca.pem, or add it to the system's store`
  const helpless = 'NODE_EXTRA_CA_CERTS does not help here'
  if (outdated.test(code))
    return `its certificate is not valid now (${code}); renew it, and check the clocks (${helpless})`
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return `its certificate is for another host (${messageOf(error)}); use a name that is in it (${helpless})`
  if (otherFaults.test(code)) return `its certificate is not accepted (${code}: ${messageOf(error)}; ${helpless})`
  return undefined
}

/** Node keeps the trusted authorities for the whole process, so once is enough. */
let isDone = false

/**
 * Trusts the certificate authorities of the system in addition to Node's own and NODE_EXTRA_CA_CERTS. Companies install
 * theirs there. Call it before the first TLS connection, and only then: reading the store takes a twentieth of a second.
 */
export function trustSystemStore(): void {
  if (isDone) return
  isDone = true
  // Not imported: Node loads this module late, and commands that use plain HTTP should not wait for it.
  const {getCACertificates, setDefaultCACertificates} = process.getBuiltinModule('node:tls')
  try {
    setDefaultCACertificates([...new Set([...getCACertificates('default'), ...getCACertificates('system')])])
  } catch {
    // an unreadable store adds nothing
  }
}
