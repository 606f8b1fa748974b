import {createPrivateKey, X509Certificate} from 'node:crypto'
import {readFileSync} from 'node:fs'
import {configError, messageOf} from '../../core/errors.ts'

export type TlsFiles = {certFile: string; keyFile: string}

/** Reads a certificate (with its chain) and its key, both PEM. Throws ExpectedError (78) that names the bad file. */
export function readTls({certFile, keyFile}: TlsFiles): {cert: Buffer; key: Buffer} {
  const cert = read(certFile, 'certificate', '--tls-cert')
  const key = read(keyFile, 'private key', '--tls-key')
  const certificate = parse(certFile, 'certificate', '--tls-cert', () => new X509Certificate(cert))
  const privateKey = parse(keyFile, 'private key', '--tls-key', () => createPrivateKey(key))
  if (!certificate.checkPrivateKey(privateKey))
    throw configError(
      `${keyFile} is not the private key of the certificate ${certFile}`,
      'Give the two files that were made together with --tls-cert and --tls-key; a chain begins with its own certificate',
    )
  return {cert, key}
}

function read(file: string, what: string, flag: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw configError(
      `cannot read the TLS ${what} ${file}: ${messageOf(error)}`,
      `Give a file that this user may read with ${flag}`,
    )
  }
}

function parse<T>(file: string, what: string, flag: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw configError(
      `${file} is no usable ${what}: ${messageOf(error)}`,
      `Give a PEM file without a pass phrase with ${flag}`,
    )
  }
}
