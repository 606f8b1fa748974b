import {spawnSync} from 'node:child_process'
import {chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {dirname} from 'node:path'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {isFinal} from '../../src/lib/protocol/schemas.ts'
import {answering, printing, stepStart} from '../support/agent-lines.ts'
import {bootProblem, insideProgram} from '../support/private-systemd/boot.ts'
import {reportSkipped, startPrivateMachine, timeoutMs} from '../support/private-systemd/private-machine.ts'
import {until} from '../support/scratch.ts'
import {stubBinary} from '../support/stub-executor.ts'

const aclProblem = () =>
  spawnSync('setfacl', ['--version']).status === 0 ? undefined : 'it needs setfacl (Debian package: acl)'
const isSkipped = reportSkipped('the rights of a service', bootProblem() ?? aclProblem())

const identity = '-c user.name=t -c user.email=t@localhost -c protocol.file.allow=always'
/** Repositories of dev in every shape that keeps git data outside of the working tree. */
const layout = `set -e; cd /home/dev
new() { git init -q $1; echo a >$1/a; git -C $1 add a; git -C $1 ${identity} commit -qm a; }
new app; new main; new inner; new outer; new origin; new mono; mkdir mono/part
git -C main worktree add -q ../linked
git -C outer ${identity} submodule add -q /home/dev/inner sub; git -C outer ${identity} commit -qm sub
git clone -q --shared origin borrowed`
const codebases = ['app', 'linked', 'outer/sub', 'borrowed'].map((name) => `/home/dev/${name}`)

describe.skipIf(isSkipped)('the rights of a service', {timeout: 2 * timeoutMs}, () => {
  let place: Awaited<ReturnType<typeof startPrivateMachine>>
  const stub = '/opt/agent/opencode'

  beforeAll(async () => {
    place = await startPrivateMachine()
    const outside = (path: string) => place.systemd.outside(path)
    mkdirSync(dirname(outside(stub)), {recursive: true})
    copyFileSync(stubBinary, outside(stub))
    chmodSync(outside(stub), 0o755)
    const made = await place.systemd.run(['useradd', '--create-home', '--uid', '1234', 'dev'])
    expect(made.code, made.stderr).toBe(0)
    await asDev(`${layout}; chmod 700 /home/dev`)
  }, timeoutMs)
  afterAll(() => place?.[Symbol.asyncDispose]())

  /** Runs a script as the owner of the codebases. */
  async function asDev(script: string): Promise<string> {
    const by = ['setpriv', '--reuid', 'dev', '--regid', 'dev', '--clear-groups', 'sh', '-c']
    const {code, stdout, stderr} = await place.systemd.run([...by, script], {HOME: '/home/dev'})
    expect({script, code, stderr}).toMatchObject({code: 0})
    return stdout
  }

  /** Runs the program by root, as sudo of dev does it. */
  const asSudo = (...args: string[]) =>
    place.systemd.run([...insideProgram, ...args], {SUDO_USER: 'dev', A2A_SERVER_URL: place.fleet.url})
  const install = (...more: string[]) =>
    asSudo(
      'install-service',
      ...['--server', place.fleet.url, '--opencode', stub, ...more],
      ...codebases.flatMap((path) => ['--codebase', path]),
    )
  const doctor = async () => (await asSudo('doctor')).stdout

  const runTask = async (path: string, script: string) => {
    const prompt = `${printing(stepStart())}set -e\n${script}\n${answering('done')}`
    const {id} = await place.fleet.http.task(await place.codebaseId(path), {prompt})
    return until(
      async () => {
        const task = await place.fleet.http.get(id)
        return isFinal(task.status) ? task : undefined
      },
      `task ${id} to end`,
      timeoutMs,
    )
  }
  const commitAs = (who: string) => `git ${identity} commit -qm ${who}`

  test('without rights, install-service and doctor name each folder, with a command that keeps those of the owner', async () => {
    const {code, stdout} = await install()
    expect(code).toBe(0)
    const granted = 'setfacl -R -m u:a2a-worker:rwX -m d:u:a2a-worker:rwX -m u:dev:rwX -m d:u:dev:rwX'
    const folders = [...codebases, '/home/dev/main/.git', '/home/dev/outer/.git/modules/sub']
    const found = await doctor()
    for (const folder of folders)
      for (const text of [stdout, found]) {
        expect(text).toContain(`the user a2a-worker cannot write to ${folder}`)
        expect(text).toContain(`${granted} ${folder}`)
      }
  })

  test('the rights alone, given by an older line, lock the owner out: doctor says so', async () => {
    const old = 'setfacl -R -m u:a2a-worker:rwX -m d:u:a2a-worker:rwX /home/dev/app'
    await place.systemd.run(old.split(' '))
    expect(await doctor()).toContain('dev, the owner of /home/dev/app, cannot change files that agents create there')
  })

  test('with --grant, agents and the owner edit, remove and commit in turn', async () => {
    const {code, stdout} = await install('--grant', '--start')
    expect(code).toBe(0)
    expect(stdout).not.toMatch(/cannot (?:write|read|change)/)
    expect((await install('--grant')).stdout).toContain('Nothing was changed')
    for (let round = 0; round < 5; round++) {
      const agent = `mkdir -p d${round}; for n in 1 2 3 4; do echo $n >d${round}/$n; git add .; ${commitAs('agent')}; done; echo x >>a`
      expect(await runTask('/home/dev/app', agent)).toMatchObject({status: 'completed'})
      await asDev(`cd /home/dev/app; echo more >>d${round}/1; rm d${round}/2; git add -A; ${commitAs('owner')}`)
    }
    expect(await asDev('git -C /home/dev/app log --oneline | wc -l')).toBe('26\n')
  })

  test.each(codebases.slice(1))('a task commits in %s, whose git data is outside of it', async (path) => {
    const before = await asDev(`git -C ${path} log --format=%s`)
    expect(await runTask(path, `echo b >b; git add b; ${commitAs('agent')}`)).toMatchObject({status: 'completed'})
    expect(await asDev(`git -C ${path} log --format=%s`)).toBe(`agent\n${before}`)
    await asDev(`cd ${path}; echo c >>b; git add b; ${commitAs('owner')}`)
  })

  test('then doctor finds no folder that is closed, until the unit is older than the configuration', async () => {
    expect(await doctor()).not.toMatch(/cannot write|cannot change|does not see|refuses/)
    const dropIn = '/etc/systemd/system/a2a-agent-worker.service.d/machine.conf'
    await place.systemd.run(['sed', '-i', '/main..git/d', dropIn])
    const found = await doctor()
    expect(found).toContain('the service does not see /home/dev/main/.git, because its unit does not name it')
    expect(found).toContain('sudo a2a-worker install-service --start')
  })

  test('install-service says what to serve if a codebase is only a part of a repository that is hidden', async () => {
    const {stdout} = await place.program('install-service', '--codebase', '/home/dev/mono/part')
    expect(stdout).toContain('/home/dev/mono/part is a part of the repository /home/dev/mono')
    expect(stdout).toContain('serve /home/dev/mono instead')
  })

  test('a git folder that an agent only claims is neither opened nor granted', async () => {
    await asDev('cd /home/dev; mkdir secret forged; echo secret >secret/file; git init -q other')
    const borrow = 'echo /home/dev/secret >/home/dev/app/.git/objects/info/alternates'
    await asDev(`echo 'gitdir: /home/dev/other/.git' >/home/dev/forged/.git; ${borrow}`)
    const {stdout} = await asSudo('install-service', '--codebase', '/home/dev/forged', '--grant')
    expect(stdout).toContain(
      '/home/dev/forged keeps git data in /home/dev/other/.git, which has another owner or does not name',
    )
    expect(stdout).toContain('/home/dev/app keeps git data in /home/dev/secret, which')
    expect(stdout).toMatch(/ran setfacl .* \/home\/dev\/forged\n/)
    expect(stdout).not.toMatch(/setfacl .*(?:other|secret)/)
    const dropIn = readFileSync(
      place.systemd.outside('/etc/systemd/system/a2a-agent-worker.service.d/machine.conf'),
      'utf8',
    )
    expect(dropIn).toContain('BindPaths=-/home/dev/forged')
    expect(dropIn).not.toMatch(/other|secret/)
    await asDev('rm /home/dev/app/.git/objects/info/alternates')
  })

  test('doctor knows the server of a service from its unit, with and without --config', async () => {
    const service = await place.program('doctor', '--config', '/etc/a2a-worker/config.json')
    expect(service.stdout).toContain(`✓ server: ${place.fleet.url} answers`)
    expect((await place.program('doctor')).stdout).toContain(`✓ server: ${place.fleet.url} answers`)
    expect((await place.program('tasks', 'list', '--config', '/etc/a2a-worker/config.json')).code).toBe(0)
  })

  test('without an author, install-service and doctor say so; git_identity provides one', async () => {
    const commit = 'echo more >>a; git add a; git commit -qm author; git log -1 --format="%an <%ae>" >../author || true'
    const warning = 'git knows no author for the user a2a-worker, so agents cannot commit in /home/dev/app'
    expect((await install()).stdout).toContain(warning)
    expect(await doctor()).toContain(warning)
    expect((await runTask('/home/dev/app', commit)).status).toBe('failed')
    const file = place.systemd.outside('/etc/a2a-worker/config.json')
    const config = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
    writeFileSync(file, JSON.stringify({...config, git_identity: 'Agent Smith <smith@example.org>'}))
    await place.systemctl('reload', 'a2a-agent-worker')
    expect((await install()).stdout).not.toContain('git knows no author')
    expect(await doctor()).not.toContain('git knows no author')
    await until(async () => (await place.log()).includes('git_identity'), 'the reload', timeoutMs)
    expect((await runTask('/home/dev/app', commit)).status).toBe('completed')
    expect(await asDev('git -C /home/dev/app log -1 --format="%an <%ae>, %cn"')).toBe(
      'Agent Smith <smith@example.org>, Agent Smith\n',
    )
  })

  test('tools of a home are named by install-service and doctor; --path gives them to the agents', async () => {
    const nvm = '/home/dev/.nvm/versions/node/v22.1.0'
    const cargo = '/home/dev/.cargo/bin'
    const script = (text: string) => `printf '#!/bin/sh\\n${text}\\n'`
    await asDev(`mkdir -p ${nvm}/bin ${nvm}/lib/node_modules/npm ${cargo} /home/dev/.rustup
      ${script('echo bun of nvm')} >${nvm}/bin/bun; echo npm library >${nvm}/lib/node_modules/npm/file
      ${script('cat $RUSTUP_HOME/toolchain')} >${cargo}/cargo; echo stable >/home/dev/.rustup/toolchain
      echo secret >/home/dev/.cargo/credentials.toml; chmod +x ${nvm}/bin/bun ${cargo}/cargo`)
    const warnings = (text: string) => {
      expect(text).toContain(`the service does not find bun of ${nvm}/bin`)
      expect(text).toContain(`the service does not find cargo of ${cargo}`)
      expect(text).toContain(`install-service --path ${cargo}`)
    }
    warnings((await asSudo('install-service')).stdout)
    warnings(await doctor())
    const {code, stdout} = await asSudo('install-service', '--path', `${nvm}/bin`, '--path', cargo, '--start')
    expect(code).toBe(0)
    expect(stdout).not.toContain('does not find')
    expect(await doctor()).not.toContain('does not find')
    const look = `bun >out; cargo >>out; cat ${nvm}/lib/node_modules/npm/file >>out; ls -A /home/dev/.cargo >>out`
    expect(await runTask('/home/dev/app', look)).toMatchObject({status: 'completed'})
    expect(await asDev('cat /home/dev/app/out')).toBe('bun of nvm\nstable\nnpm library\nbin\n')
  })
})
