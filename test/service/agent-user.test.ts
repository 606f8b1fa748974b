import {chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {isFinal} from '../../src/lib/protocol/schemas.ts'
import {envLine} from '../../src/lib/service/units/env-file.ts'
import {answering, printing, stepStart} from '../support/agent-lines.ts'
import {bootProblem} from '../support/private-systemd/boot.ts'
import {
  pauseMs,
  reportSkipped,
  startPrivateMachine,
  timeoutMs,
  unit,
} from '../support/private-systemd/private-machine.ts'
import {openCode, startModel} from '../support/scripted-model.ts'
import {repository, until} from '../support/scratch.ts'
import {stubBinary} from '../support/stub-executor.ts'

const isSkipped = reportSkipped('agents with a user of their own, under a real systemd', bootProblem())
const codebase = '/home/dev/p'

describe.skipIf(isSkipped)('a service whose agents have a user of their own', {timeout: 2 * timeoutMs}, () => {
  let place: Awaited<ReturnType<typeof startPrivateMachine>>
  let model: Awaited<ReturnType<typeof startModel>>
  const at = (path: string) => place.systemd.outside(path)
  const made = (name: string) => join(at(codebase), name)
  const said = (name: string) => readFileSync(made(name), 'utf8')
  const shell = async (text: string) => (await place.systemd.run(['sh', '-c', text])).stdout
  const begin = async (prompt: string) => (await place.fleet.http.task(await place.codebaseId(codebase), {prompt})).id
  const ended = (id: string) =>
    until(
      async () => {
        const task = await place.fleet.http.get(id)
        return isFinal(task.status) && task
      },
      `task ${id} to end`,
      timeoutMs,
    )

  beforeAll(async () => {
    ;[place, model] = await Promise.all([startPrivateMachine(), startModel()])
    repository(at(codebase))
    chmodSync(at('/home/dev'), 0o700)
    for (const folder of ['/etc/a2a-worker', '/opt/agents']) mkdirSync(at(folder))
    for (const [name, from] of Object.entries({opencode: openCode, stub: stubBinary})) {
      copyFileSync(from, at(`/opt/agents/${name}`))
      chmodSync(at(`/opt/agents/${name}`), 0o755)
    }
    const env = Object.entries({...model.env, A2A_AUTH_TOKEN: 'token-of-the-worker'})
    writeFileSync(at('/etc/a2a-worker/env'), `${env.map(([name, value]) => envLine(name, value)).join('\n')}\n`)
    const config = {
      drain_timeout: 1,
      cancel_grace: 1,
      opencode_bin: '/opt/agents/opencode',
      on_interrupt: 'fail',
    }
    writeFileSync(at('/etc/a2a-worker/config.json'), JSON.stringify(config))
  })
  afterAll(async () => {
    await place[Symbol.asyncDispose]()
    await model[Symbol.asyncDispose]()
  })

  test('is installed with that user, its folders, and rights on the codebase; systemd rates it under 2.4', async () => {
    const words = ['--codebase', codebase, '--agent-user', 'a2a-agent', '--grant', '--start']
    const done = await place.program('install-service', '--server', place.fleet.url, ...words)
    expect(done).toMatchObject({code: 0, stdout: expect.stringContaining(`${unit} runs.`)})
    expect(done.stdout).not.toContain('cannot write')
    expect(await shell('id -nG a2a-worker')).toBe('a2a-worker a2a-agent\n')
    expect(await place.log()).not.toMatch(/cannot|WARN/)
    const {stdout} = await place.systemd.run(['systemd-analyze', 'security', '--threshold=24', unit])
    expect(stdout).toMatch(/Overall exposure level .*: 2\.[0-4] OK/)
    expect((await place.program('install-service', '--start')).stdout).toMatch(/is up to date\. Nothing was/)
  })

  test('runs the real OpenCode as that user, sees what it does, and syncs its session', async () => {
    const id = await begin('[fake:bash cmd="id -un >who; sleep 1"] [fake:text say=done]')
    expect(await ended(id)).toMatchObject({status: 'completed', result: 'done', error: null})
    expect(said('who')).toBe('a2a-agent\n')
    const [report] = (await shell('cat /var/lib/a2a-worker/workers/*/runs/*/1/report.ndjson')).split('\n')
    expect(report).toContain('"type":"started"')
    const sessions = `/v1/opencode/codebases/${await place.codebaseId(codebase)}/sessions`
    await until(
      async () => ((await place.fleet.http.call('GET', sessions)).body as {sessions: unknown[]}).sessions.length > 0,
      'the session',
      timeoutMs,
    )
  })

  test('gives agents no capability and no way to root, to the state, the configuration, the socket or the worker', async () => {
    await place.program('install-service', '--opencode', '/opt/agents/stub', '--start')
    const pid = await place.started('')
    const script = [
      'grep ^Cap /proc/self/status >caps',
      'setpriv --reuid 0 true >root 2>&1; setpriv --reuid a2a-worker true >worker 2>&1',
      `for path in /var/lib/a2a-worker /run/a2a-worker /etc/a2a-worker/env /etc/a2a-worker/config.json /proc/${pid}/environ; do ls -d "$path"/ >>seen 2>/dev/null; cat "$path" >>seen 2>/dev/null; done`,
      'touch /tmp/mine "$TMPDIR/mine" && echo "$HOME" >home',
      `kill -0 ${pid} 2>/dev/null || echo no >signal`,
      answering('done'),
    ].join('\n')
    expect(await ended(await begin(printing(stepStart()) + script))).toMatchObject({status: 'completed'})
    expect(said('caps').match(/[0-9a-f]{16}/g)).toEqual(Array.from({length: 5}, () => '0'.repeat(16)))
    for (const name of ['root', 'worker']) expect(said(name)).toMatch(/Operation not permitted/)
    expect(said('seen')).toBe('/var/lib/a2a-worker/\n/run/a2a-worker/\n'.slice(0, said('seen').length))
    expect(said('seen')).not.toContain('token')
    expect(said('home')).toBe('/var/lib/a2a-agents/home\n')
    expect(said('signal')).toBe('no\n')
  })

  test('a kill -9 of the worker leaves such an agent running; the next worker adopts it and ends all that it has left', async () => {
    const before = await place.property('MainPID')
    const stray = '(cd / && env -i setsid /bin/sh -c "/bin/sleep 98764 & exit" </dev/null >/dev/null 2>&1)'
    const id = await begin(
      `${printing(stepStart())}${stray}\ntouch begun; while [ ! -e go ]; do sleep 0.05; done\n${answering('adopted')}`,
    )
    const strays = async () => (await shell('pgrep -fx "/bin/sleep 98764"')).split('\n').length - 1
    await until(() => existsSync(made('begun')), 'the agent', timeoutMs)
    await place.systemd.run(['kill', '-KILL', before])
    await place.started(before)
    await until(async () => (await place.log()).includes('Going on with a run'), 'the adoption', timeoutMs, pauseMs)
    expect(await strays()).toBe(1)
    writeFileSync(made('go'), '')
    expect(await ended(id)).toMatchObject({status: 'completed', result: 'adopted', attempt: 1})
    expect(await strays()).toBe(0)
    await until(
      async () => !(await shell('ls /var/lib/a2a-agents/tmp')).includes('a2a-run'),
      'its folder to be removed',
    )
  })

  test('a cancelled agent is told, and an agent that dies with its worker is found dead', async () => {
    const cancelled = await begin(`trap 'echo told >told; exit' TERM\ntouch second\nwhile :; do sleep 0.05; done`)
    await until(() => existsSync(made('second')), 'the agent', timeoutMs)
    expect((await place.fleet.cli(['tasks', 'cancel', cancelled])).code).toBe(0)
    expect(await ended(cancelled)).toMatchObject({status: 'cancelled'})
    expect(said('told')).toBe('told\n')
    const before = await place.property('MainPID')
    const dies = await begin('echo $$ >pid; touch third; while :; do sleep 0.05; done')
    await until(() => existsSync(made('third')), 'the agent', timeoutMs)
    await place.systemd.run(['kill', '-KILL', before, ...said('pid').trim().split('\n')])
    await place.started(before)
    expect(await ended(dies)).toMatchObject({status: 'failed'})
  })

  test('--purge removes both users and their folders', async () => {
    expect((await place.program('uninstall-service', '--purge')).code).toBe(0)
    expect(
      await shell(
        'ls -d /var/lib/a2a-agents /var/lib/a2a-worker 2>&1; id a2a-agent 2>&1; id a2a-worker 2>&1; ls /etc/sysusers.d /etc/tmpfiles.d | grep a2a',
      ),
    ).toMatch(/^ls: .*\nls: .*\nid: .*no such user\nid: .*no such user\n$/)
  })
})
