import {writeFile} from 'node:fs/promises'
import {beforeAll, expect, test} from 'vitest'
import {makeCertificate} from '../../support/certificate.ts'
import {cli, environment} from '../../support/cli.ts'
import {scratch} from '../support/plane.ts'
import {runScript} from '../support/process.ts'

let folder: Awaited<ReturnType<typeof scratch>>

beforeAll(async () => {
  folder = await scratch()
  for (const name of ['plane', 'other']) makeCertificate(folder.path, name)
  return () => folder[Symbol.asyncDispose]()
})

const serve = (args: string[]) =>
  cli(['serve', '--port', '0', ...args], {cwd: folder.path, env: environment(folder.path)})

test('serve speaks HTTPS with a certificate, and a client that trusts it can connect', async () => {
  const files = ['--tls-cert', folder.file('plane.crt'), '--tls-key', folder.file('plane.key')]
  const env = {A2A_STATE_DIR: folder.file('plane'), A2A_AUTH_TOKENS: 'me:secret'}
  await using plane = await runScript('serve-process.ts', ['--port', '0', ...files], env)
  expect(plane.line).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)

  const ask = (more: Record<string, string>) =>
    cli(['workers', 'list', '--json', '--server', plane.line], {
      cwd: folder.path,
      env: environment(folder.path, {A2A_AUTH_TOKEN: 'secret', ...more}),
    })
  const trusting = await ask({NODE_EXTRA_CA_CERTS: folder.file('plane.crt')})
  expect(trusting).toMatchObject({code: 0, stderr: ''})
  expect(JSON.parse(trusting.stdout)).toEqual([])
  expect((await ask({})).code).toBe(69)
  await expect(fetch(`${plane.line.replace('https', 'http')}/health`)).rejects.toThrow()
  expect(await plane.end('SIGTERM')).toBe(0)
})

test('an unusable certificate is reported with a fix: exit 78', async () => {
  await writeFile(folder.file('noise'), 'no certificate')
  const [cert, key, noise] = ['plane.crt', 'plane.key', 'noise'].map((name) => folder.file(name)) as [
    string,
    string,
    string,
  ]
  const cases: [string, string, RegExp][] = [
    [folder.file('missing.crt'), key, /cannot read the TLS certificate .*missing\.crt: ENOENT[^]*--tls-cert/],
    [cert, folder.file('missing.key'), /cannot read the TLS private key .*missing\.key: ENOENT[^]*--tls-key/],
    [noise, key, /noise is no usable certificate[^]*--tls-cert/],
    [cert, noise, /noise is no usable private key[^]*--tls-key/],
    [cert, folder.file('other.key'), /other\.key is not the private key of the certificate .*plane\.crt/],
  ]
  for (const [certFile, keyFile, message] of cases) {
    const {code, stderr, stdout} = await serve(['--tls-cert', certFile, '--tls-key', keyFile])
    expect(stderr).toMatch(message)
    expect({code, stdout}).toEqual({code: 78, stdout: ''})
  }
})

test('a certificate without a key, or a key without a certificate, is bad usage', async () => {
  for (const flag of ['--tls-cert', '--tls-key']) {
    const {code, stderr} = await serve([flag, folder.file('plane.crt')])
    expect(code).toBe(2)
    expect(stderr).toContain(flag === '--tls-cert' ? '--tls-key' : '--tls-cert')
  }
})
