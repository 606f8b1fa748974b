import {existsSync, lstatSync, readFileSync, statSync, symlinkSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {dashboardControls, type LocalControlContext} from '../../src/lib/daemon/local-control.ts'
import {Journal} from '../../src/lib/journal/journal.ts'
import type {Task} from '../../src/lib/protocol/schemas.ts'
import {canonicalJson} from '../../src/lib/signing/canonical-json.ts'
import {formatPublicKey, generatePrivateKey, parsePublicKey, publicKeyOf} from '../../src/lib/signing/keys.ts'
import {signTask} from '../../src/lib/signing/sign-task.ts'
import {signatureKey, type SignedTask} from '../../src/lib/signing/task-claims.ts'
import {signatureRules} from '../../src/lib/signing/verify-task.ts'
import {answering} from '../support/agent-lines.ts'
import {startFleet} from '../support/fleet.ts'
import {hasBegun, startInProcessWorker} from '../support/in-process-worker.ts'
import {ReferenceServer} from '../support/reference-server.ts'
import {repository, scratchFolder, until} from '../support/scratch.ts'
import {stubBinary} from '../support/stub-executor.ts'
import {openWorkshop} from '../support/workshop.ts'

const key = generatePrivateKey()
const trusted = formatPublicKey({...publicKeyOf(key), name: 'Jo of CI'})
const hour = 60 * 60_000

const task = (more: Partial<SignedTask> = {}): SignedTask => ({
  ...{title: 'T', prompt: answering('done'), agent_type: 'build', model: null, metadata: {ticket: 'A-1'}},
  ...more,
})

/** A worker that requires signatures, with two codebases; and what a client or a hostile control plane may send it. */
async function setUp(settings: Record<string, unknown> = {}) {
  const fleet = await startFleet()
  const paths = ['api', 'web'].map((name) => repository(join(fleet.path, name))) as [string, string]
  const worker = await startInProcessWorker(fleet.url, paths, {
    factor: 1,
    settings: {verify_tasks: 'require', trusted_keys: [trusted], ...settings},
  })
  await until(() => worker.running.intake.connection === 'stream', 'the stream')
  const [api, web] = await Promise.all(paths.map((path) => fleet.codebaseId(path)))
  const codebase = {name: 'api', path: paths[0]}
  return {
    ...fleet,
    worker,
    web: web ?? '',
    sign: (signed: SignedTask, {now = Date.now(), validMs = hour, by = key, at = codebase} = {}) =>
      signTask(signed, at, by, {now, validMs}),
    /** Creates a task and resolves with its end. */
    run: async (created: SignedTask, codebaseId = api ?? ''): Promise<Task> =>
      fleet.ended((await fleet.http.task(codebaseId, created)).id),
    hasBegun: (id: string) => hasBegun(worker, id),
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]()
      await fleet[Symbol.asyncDispose]()
    },
  }
}

test('a signed task runs, and so does its retry', async () => {
  await using at = await setUp()
  const signed = task()
  const ended = await at.run({...signed, metadata: await at.sign(signed)})
  expect(ended).toMatchObject({status: 'completed', attempt: 1})
  await at.http.call('POST', `/v1/opencode/tasks/${ended.id}/retry`)
  await until(async () => {
    const {attempt, status} = await at.http.get(ended.id)
    return attempt === 2 && status === 'completed'
  }, 'the retry')
})

test('a task that is unsigned, forged, early, expired, retargeted, changed or replayed is failed with the name of the rule, and nothing is started or written', async () => {
  await using at = await setUp()
  const {sign} = at
  const signed = task()
  const good = await sign(signed)
  const [head = '', payload = '', signature = ''] = String(good[signatureKey]).split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object
  const later = Buffer.from(JSON.stringify({...claims, exp: 4e9})).toString('base64url')
  const withSignature = (jws: unknown) => ({...signed, metadata: {...signed.metadata, [signatureKey]: jws}})
  const noAlgorithm = Buffer.from(JSON.stringify({alg: 'none', typ: 'a2a-task+jwt', kid: publicKeyOf(key).x}))
  const refused = async (rule: string, created: SignedTask, codebase?: string) => {
    const ended = await at.run(created, codebase)
    expect([ended.status, ended.error], rule).toEqual([
      'failed',
      expect.stringContaining(`by verify_tasks (${rule}): `),
    ])
    expect(at.hasBegun(ended.id), rule).toBe(false)
    seen.add(rule)
  }
  const seen = new Set<string>()

  await refused('unsigned', signed)
  await refused('malformed', withSignature('nonsense'))
  await refused('malformed', withSignature({jws: good}))
  await refused('malformed', withSignature(`${noAlgorithm.toString('base64url')}.${payload}.`))
  await refused('unknown-key', {...signed, metadata: await sign(signed, {by: generatePrivateKey()})})
  await refused('bad-signature', withSignature(`${head}.${later}.${signature}`))
  await refused('not-yet-valid', {...signed, metadata: await sign(signed, {now: Date.now() + hour})})
  await refused('expired', {...signed, metadata: await sign(signed, {now: Date.now() - 2 * hour})})
  await refused('retargeted', {...signed, metadata: good}, at.web)
  const elsewhere = {name: 'api', path: '/srv/api'}
  await refused('retargeted', {...signed, metadata: await sign(signed, {at: elsewhere})})
  for (const change of [
    {prompt: 'echo something else'},
    {title: 'Another title'},
    {agent_type: 'plan'},
    {metadata: {...good, resume_session_id: 'ses_of_somebody'}},
    {metadata: {...good, model: 'p/expensive'}},
    {metadata: {[signatureKey]: good[signatureKey]}},
  ])
    await refused('changed', {...signed, metadata: good, ...change})
  expect((await at.run({...signed, metadata: good})).status).toBe('completed')
  await refused('replayed', {...signed, metadata: good})
  expect([...seen].toSorted()).toEqual([...signatureRules].toSorted())
})

test('a clock that differs by less than a minute does not matter', async () => {
  await using at = await setUp()
  const [fast, late] = [task({title: 'fast'}), task({title: 'late'})]
  const ahead = await at.sign(fast, {now: Date.now() + 50_000})
  const behind = await at.sign(late, {now: Date.now() - 55_000, validMs: 10_000})
  expect((await at.run({...fast, metadata: ahead})).status).toBe('completed')
  expect((await at.run({...late, metadata: behind})).status).toBe('completed')
})

test('verify_tasks: warn runs a task that is not signed, and says so once', async () => {
  await using at = await setUp({verify_tasks: 'warn'})
  const ended = await at.run(task())
  expect(ended.status).toBe('completed')
  const lines = at.worker
    .log()
    .split('\n')
    .filter((line) => line.includes('verify_tasks (unsigned)'))
  expect(lines).toEqual([expect.stringMatching(/WARN.*runs although its signature would be refused/i)])
})

test('a key that is removed from a file of trusted_keys is not trusted any more, and a file that cannot be read trusts nobody', async () => {
  using scratch = scratchFolder()
  const file = join(scratch.path, 'trusted')
  writeFileSync(file, `# people\n${trusted}\n`)
  await using at = await setUp({trusted_keys: [file]})
  const run = async () => {
    const signed = task()
    return await at.run({...signed, metadata: await at.sign(signed)})
  }
  expect((await run()).status).toBe('completed')
  writeFileSync(file, `${formatPublicKey(publicKeyOf(generatePrivateKey()))}\n`)
  expect(await run()).toMatchObject({status: 'failed', error: expect.stringContaining('unknown-key')})
  writeFileSync(file, 'ed25519:short\n')
  expect(await run()).toMatchObject({status: 'failed', error: expect.stringContaining('has a key that is none')})
})

test('tasks cannot be verified without a trusted key', async () => {
  await using shop = openWorkshop()
  for (const args of [
    ['verify_tasks', 'require'],
    ['approve_task', '["/bin/true","a,b"]'],
  ])
    expect((await shop.cli(['config', 'set', ...args])).code).toBe(0)
  const {stdout} = await shop.cli(['config', 'show', '--json'])
  expect(stdout).toContain('"/bin/true"')
  const tree = repository(join(shop.path, 'p'))
  const {code, stderr} = await shop.cli(['start', '--exit-after-idle', '1', '--codebase', tree])
  expect([code, stderr]).toEqual([78, expect.stringContaining('no key is trusted')])
})

test('the nonce of a signature stays bound to its task over restarts, until the signature has expired', async () => {
  using scratch = scratchFolder()
  const file = join(scratch.path, 'journal.db')
  const bind = async (taskId: string, now: number, nonce = 'n') => {
    using journal = await Journal.open(file)
    return journal.bindNonce({key: 'k', nonce, taskId, validUntil: 1000, now})
  }
  expect(await bind('first', 0)).toBe('first')
  expect(await bind('copy', 10)).toBe('first')
  expect(await bind('first', 20)).toBe('first')
  expect(await bind('other', 20, 'm')).toBe('other')
  expect(await bind('later', 1001)).toBe('later')
})

test('a worker process runs what `tasks create --sign` has signed and nothing else, and a reload with a bad key changes nothing', async () => {
  await using fleet = await startFleet({env: {OPENCODE_BIN_PATH: stubBinary}})
  const file = join(fleet.path, 'ci.key')
  await using shop = openWorkshop()
  const {code, stdout, stderr} = await shop.cli(['keys', 'generate', file])
  expect(code, stderr).toBe(0)
  const publicKey = stdout.trim()
  const tree = repository(join(fleet.path, 'p'))
  const config = join(fleet.path, 'worker.json')
  const settings = {verify_tasks: 'require', trusted_keys: [publicKey]}
  writeFileSync(config, JSON.stringify(settings))
  const worker = await fleet.worker('w', [tree], ['--config', config])
  const create = (...args: string[]) =>
    fleet.cli(['tasks', 'create', answering('done'), '--codebase', tree, '--wait', ...args])
  const refused = await create()
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('by verify_tasks (unsigned)')])
  const signed = await create('--sign', '--key', file, '--metadata', 'a=b')
  expect(signed.code, signed.stderr).toBe(0)
  expect((await create('--key', file, '--no-sign')).code).toBe(1)
  expect(await create('--sign')).toMatchObject({code: 78, stderr: expect.stringContaining('keys generate')})
  expect(await create('--key', file, '--valid-for', 'long')).toMatchObject({code: 2})

  writeFileSync(config, JSON.stringify({...settings, trusted_keys: [join(fleet.path, 'none')]}))
  worker.process.kill('SIGHUP')
  await until(() => worker.stderr().includes('The reload failed'), 'the report')
  expect((await create('--key', file)).code).toBe(0)
})

test('an existing server would change a signed task, so none is created there', async () => {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop()
  const file = join(shop.path, 'k')
  await shop.cli(['keys', 'generate', file])
  await using worker = await startInProcessWorker(server.url, [repository(join(shop.path, 'p'))], {factor: 1})
  await until(() => worker.running.intake.connection === 'stream', 'the stream')
  const args = ['tasks', 'create', 'x', '--codebase', 'p', '--server', server.url, '--key', file]
  const {code, stderr} = await shop.cli(args)
  expect([code, stderr]).toEqual([77, expect.stringContaining('This server cannot create signed tasks')])
})

test('a private key is written to a new file that only its user may read, also not through a link', async () => {
  await using shop = openWorkshop()
  const [file, link, target] = ['k', 'link', 'target'].map((name) => join(shop.path, name)) as [string, string, string]
  const {stdout, stderr} = await shop.cli(['keys', 'generate', file])
  expect(parsePublicKey(stdout.trim())).toBeDefined()
  expect([statSync(file).mode & 0o777, stderr]).toEqual([0o600, expect.stringContaining(`signing_key ${file}`)])
  const before = readFileSync(file)
  expect((await shop.cli(['keys', 'generate', file])).code).toBe(73)
  expect(readFileSync(file)).toEqual(before)
  symlinkSync(target, link)
  expect((await shop.cli(['keys', 'generate', link])).code).toBe(73)
  expect([existsSync(target), lstatSync(link).isSymbolicLink()]).toEqual([false, true])
})

test('under verify_tasks: require, run signs its task or does not begin, and the dashboard creates none', async () => {
  await using shop = openWorkshop()
  const place = {cwd: repository(join(shop.path, 'project'))}
  const file = join(shop.path, 'k')
  const {stdout} = await shop.cli(['keys', 'generate', file])
  const config = join(shop.path, 'worker.json')
  writeFileSync(config, JSON.stringify({verify_tasks: 'require', trusted_keys: [stdout.trim()]}))
  const run = (...args: string[]) => shop.cli(['run', '@lines=1', '--config', config, ...args], place)
  expect(await run()).toMatchObject({code: 78, stderr: expect.stringContaining('there is no key to sign this one')})
  expect(await run('--key', file)).toMatchObject({code: 0, stdout: 'line 0\n'})

  const control = {config: {verify_tasks: 'require'}} as unknown as LocalControlContext
  await expect(dashboardControls(control).create('id', 'prompt')).rejects.toThrow('runs signed tasks only')
})

test('JSON has one canonical form, that of RFC 8785', () => {
  const example = {
    numbers: [333333333.3333333, 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
    string: '\u20ac$\u000F\u000aA\'\u0042\u0022\u005c\\"/',
    literals: [null, true, false],
  }
  expect(canonicalJson(example)).toBe(
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  )
  const keys = ['\u20ac', '\r', '\ufb33', '1', '\ud83d\ude00', '\u0080', '\u00f6']
  const sorted = canonicalJson(Object.fromEntries(keys.map((name) => [name, 0])))
  expect(Object.keys(JSON.parse(sorted) as object).filter((name) => name !== '1')).toEqual([
    '\r',
    '\u0080',
    '\u00f6',
    '\u20ac',
    '\ud83d\ude00',
    '\ufb33',
  ])
  expect(canonicalJson(JSON.parse('{"b":{"d":1,"c":-0},"a":[[],{}],"__proto__":2}'))).toBe(
    '{"__proto__":2,"a":[[],{}],"b":{"c":0,"d":1}}',
  )
})
