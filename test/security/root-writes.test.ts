import {mkdirSync, readFileSync, statSync, writeFileSync} from 'node:fs'
import {dirname} from 'node:path'
import {afterAll, beforeAll, beforeEach, describe, expect, test} from 'vitest'
import {bootProblem} from '../support/private-systemd/boot.ts'
import {reportSkipped, startPrivateMachine, timeoutMs, unit} from '../support/private-systemd/private-machine.ts'

const isSkipped = reportSkipped('root against a hostile user of the service', bootProblem())

const state = '/var/lib/a2a-worker'

describe.skipIf(isSkipped)('root against a hostile user of the service', {timeout: 2 * timeoutMs}, () => {
  let place: Awaited<ReturnType<typeof startPrivateMachine>>
  const outside = (path: string) => place.systemd.outside(path)
  const asRoot = async (script: string) => {
    const {code, stdout, stderr} = await place.systemd.run(['bash', '-c', script])
    expect({script, code, stderr}).toMatchObject({code: 0})
    return stdout.trim()
  }
  /** Runs a script as the user of the service, without its sandbox. */
  const asService = (script: string) => asRoot(`runuser -u a2a-worker -- bash -c ${quoted(script)}`)
  /** Starts a loop of that user, which ends with the file `/tmp/stop`, at the latest after a minute. */
  const attack = async (step: string) => {
    const script = `end=$((SECONDS+60)); until [ -e /var/tmp/stop ] || [ $SECONDS -gt $end ]; do ${step}; done; touch /var/tmp/over`
    await asRoot('rm -f /var/tmp/stop /var/tmp/over; chmod 1777 /var/tmp')
    const loop = asService(script)
    return async () => {
      await asRoot('touch /var/tmp/stop')
      await loop
    }
  }
  const install = (...more: string[]) => place.program('install-service', '--server', place.fleet.url, ...more)

  beforeAll(async () => {
    place = await startPrivateMachine()
    expect((await install()).code).toBe(0)
  }, timeoutMs)
  afterAll(() => place?.[Symbol.asyncDispose]())

  /** A file of root that is not what any step is about, and the folder that a link would lead to. */
  beforeEach(async () => {
    await asRoot(`install -d -m 700 -o a2a-worker -g a2a-worker ${state} ${state}/home
      rm -rf /home/precious; mkdir -p /home/precious; echo mine >/home/precious/file; chmod 600 /home/precious/file`)
  })
  const expectUntouched = async () =>
    expect(
      await asRoot('stat -c "%U %a" /home/precious /home/precious/file; cat /home/precious/file; ls /home/precious'),
    ).toBe('root 755\nroot 600\nmine\nfile')

  test('an installation, repeated while that user swaps files of its home for links, changes the owner of nothing', async () => {
    const stop = await attack(
      `cd ${state}/home; rm -f .gitconfig; for f in .gitconfig.*; do [ -e "$f" ] && ln -sf /home/precious/file "$f"; done`,
    )
    for (let round = 0; round < 5; round++) expect((await install()).code).toBe(0)
    await stop()
    await expectUntouched()
    expect(await asRoot(`find ${state} -user root`)).toBe('')
  })

  test('with the home, the state or its temporary folders replaced by links, root still writes nothing behind them', async () => {
    await asService(
      `cd ${state}; rm -rf home; ln -s /home/precious home; ln -s /home/precious workers; ln -s /home/precious tmp`,
    )
    expect((await install()).code).toBe(0)
    // systemd, which makes these folders, refuses the links as well.
    await place.systemctl('start', unit)
    expect(await place.property('ExecMainStatus')).toBe('238') // EXIT_STATE_DIRECTORY
    await expectUntouched()
    expect((await place.program('uninstall-service')).code).toBe(0)
    await expectUntouched()
    await asRoot(`rm ${state}/home ${state}/workers ${state}/tmp`)
    expect((await install()).code).toBe(0)
  })

  test('git of the service gets its configuration from a file of root, and agents keep a file of their own', async () => {
    const line = await asRoot(`systemctl show --value --property=Environment ${unit}`)
    expect(line).toContain('GIT_CONFIG_SYSTEM=/etc/a2a-worker/gitconfig')
    expect(
      await asRoot('stat -c "%U %G %a" /etc/a2a-worker/gitconfig /etc/a2a-worker/config.json /etc/a2a-worker'),
    ).toBe('root root 644\nroot a2a-worker 640\nroot root 755')
    const git = `export HOME=${state}/home GIT_CONFIG_SYSTEM=/etc/a2a-worker/gitconfig; cd /; git config --global user.name Agent`
    expect(await asService(`${git}; git config user.name; git config safe.directory`)).toBe('Agent\n*')
  })

  test('that user can change nothing that root reads at the next installation', async () => {
    const attempts = ['config.json', 'env', 'gitconfig', 'new'].map(
      (name) =>
        `echo x >>/etc/a2a-worker/${name} && echo wrote ${name}; rm -f /etc/a2a-worker/${name} && echo removed ${name}`,
    )
    const {stdout} = await place.systemd.run(['runuser', '-u', 'a2a-worker', '--', 'bash', '-c', attempts.join('\n')])
    expect(stdout).toBe('removed new\n')
  })

  test('a folder of the program that an earlier installation gave to that user is taken back, and a link in it is refused', async () => {
    await asRoot('chown -R a2a-worker /opt/a2a-worker')
    await asService('cd /opt/a2a-worker; rm -rf bin; ln -s /home/precious bin')
    const {code, stderr} = await install()
    expect({code, stderr}).toEqual({code: 73, stderr: expect.stringContaining('Could not make /opt/a2a-worker/bin')})
    await expectUntouched()
    await asService('rm /opt/a2a-worker/bin').catch(() => asRoot('rm /opt/a2a-worker/bin'))
    expect((await install()).code).toBe(0)
    expect(await asRoot('find /opt/a2a-worker ! -user root')).toBe('')
  })

  test('a drop-in folder that is a link, or belongs to somebody else, is refused', async () => {
    const folder = `/etc/systemd/system/${unit}.service.d`
    await asRoot(`rm -rf ${folder}; chmod 777 /home/precious; ln -s /home/precious ${folder}`)
    await asRoot(`chown -h a2a-worker ${folder}`)
    const linked = await install()
    expect({...linked, stdout: ''}).toMatchObject({
      code: 73,
      stderr: expect.stringContaining('which root does not follow'),
    })
    await asRoot(`rm ${folder}; chmod 755 /home/precious; install -d -o a2a-worker ${folder}`)
    expect(await install()).toMatchObject({code: 73, stderr: expect.stringContaining('does not belong to root alone')})
    await expectUntouched()
    await asRoot(`rm -rf ${folder}`)
    expect((await install()).code).toBe(0)
  })

  test('--grant gives no right on a file of somebody else that is linked into the codebase, also while that user swaps links', async () => {
    mkdirSync(dirname(outside('/home/app/x')), {recursive: true})
    writeFileSync(outside('/home/app/x'), '')
    await asRoot(`chown -R a2a-worker /home/app; useradd --uid 1234 dev || true; chmod 700 /home/precious
      mkdir -p /home/app/deep; chown root:root /home/app; chmod 777 /home/app /home/app/deep; chown dev /home/app; ln /home/precious/file /home/app/deep/hard`)
    const stop = await attack(
      'cd /home/app; rm -rf y; touch y; ln -sfn /home/precious/file z; mv -T z y 2>/dev/null; rm -rf d; mkdir d; rmdir d; ln -s /home/precious d',
    )
    for (let round = 0; round < 5; round++) {
      await asRoot('setfacl -bk /home/app')
      const {code, stdout, stderr} = await install('--grant', '--codebase', '/home/app')
      expect({code, stderr}).toEqual({code: 0, stderr: ''})
      expect(stdout).toContain('ran setfacl -R -m u:a2a-worker:rwX')
    }

    await stop()
    expect(await asRoot('getfacl -cp /home/precious /home/precious/file | grep -c a2a-worker || true')).toBe('0')
    await asRoot('touch /home/app/x; install -d /home/app/sub')
    expect(await asRoot('getfacl -cp /home/app | grep a2a-worker')).toContain('default:user:a2a-worker:rwx')
  })

  test('--grant refuses a codebase behind a link that is not of root', async () => {
    await asRoot('install -d -o a2a-worker /home/agents')
    await asService('ln -s /home/precious /home/agents/part')
    const {code, stderr} = await install('--grant', '--codebase', '/home/agents/part')
    expect({code, stderr}).toEqual({
      code: 73,
      stderr: expect.stringContaining('/home/agents/part is a link or no directory'),
    })
    expect(await asRoot('getfacl -cp /home/precious | grep -c a2a-worker || true')).toBe('0')
    const config = outside('/etc/a2a-worker/config.json')
    const {codebases: _, ...rest} = JSON.parse(readFileSync(config, 'utf8')) as Record<string, unknown>
    writeFileSync(config, JSON.stringify(rest))
  })

  test('--purge removes the state while that user swaps folders for links, and nothing behind them', async () => {
    await asService(
      `cd ${state}; mkdir -p workers/w/runs; ln -s /home/precious workers/link; ln -s /home/precious home/link`,
    )
    const config = outside('/etc/a2a-worker/config.json')
    writeFileSync(config, JSON.stringify({worker_name: '../../../../home/precious'}))
    const stop = await attack(
      `cd ${state} 2>/dev/null && mkdir -p d/e/f && touch d/e/f/g && rm -rf l && ln -s /home/precious l && mv -T d o 2>/dev/null && mv -T l d && rm -rf d o`,
    )
    for (let round = 0; round < 3; round++) {
      await place.program('uninstall-service', '--purge')
      await expectUntouched()
    }

    await stop()
    await place.program('uninstall-service', '--purge')
    await expectUntouched()
    expect(statSync(outside('/home/precious/file')).isFile()).toBe(true)
    expect(await asRoot(`ls -d ${state} /etc/a2a-worker /opt/a2a-worker 2>/dev/null || true`)).toBe('')
  })
})

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`
