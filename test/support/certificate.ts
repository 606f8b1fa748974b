import {execFileSync} from 'node:child_process'
import {join} from 'node:path'

/** Writes a certificate for 127.0.0.1 that is its own authority, and its key. */
export function makeCertificate(folder: string, name: string): {cert: string; key: string} {
  const [cert, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)]
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
      ...['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
    ],
    {stdio: 'ignore'},
  )
  return {cert, key}
}
