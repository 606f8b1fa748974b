import {execFileSync} from 'node:child_process'
import {join} from 'node:path'

/** Writes a certificate for 127.0.0.1, or for this subject, that is its own authority, and its key. */
export function makeCertificate(
  folder: string,
  name: string,
  {subject = 'IP:127.0.0.1', isExpired = false} = {},
): {cert: string; key: string} {
  const [cert, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)]
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
      ...['-subj', `/CN=${name}`, '-addext', `subjectAltName=${subject}`, '-keyout', key, '-out', cert],
    ],
    {stdio: 'ignore'},
  )
  if (isExpired)
    execFileSync('openssl', ['x509', '-in', cert, '-signkey', key, '-days', '-1', '-out', cert], {stdio: 'ignore'})
  return {cert, key}
}
