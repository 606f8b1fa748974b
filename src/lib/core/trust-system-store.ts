import {getCACertificates, setDefaultCACertificates} from 'node:tls'

/** Node keeps the trusted authorities for the whole process, so once is enough. */
let isDone = false

/**
 * Trusts the certificate authorities of the system in addition to Node's own and NODE_EXTRA_CA_CERTS. Companies install
 * theirs there. Call it before the first TLS connection, and only then: reading the store takes a twentieth of a second.
 */
export function trustSystemStore(): void {
  if (isDone) return
  isDone = true
  try {
    setDefaultCACertificates([...new Set([...getCACertificates('default'), ...getCACertificates('system')])])
  } catch {
    // an unreadable store adds nothing
  }
}
