import {spawnSync} from 'node:child_process'
import {chmodSync, copyFileSync, existsSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {describe, expect, test} from 'vitest'
import {ownRunGroups} from '../../src/lib/executor/processes/run-groups.ts'
import {answering, printing, stepStart} from '../support/agent-lines.ts'
import {stop} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {reportSkipped} from '../support/private-systemd/private-machine.ts'
import {repository, until} from '../support/scratch.ts'
import {stubBinary} from '../support/stub-executor.ts'
import {says} from '../support/workshop.ts'

const isRoot = process.getuid?.() === 0
const skip = reportSkipped(
  'agents of another user',
  isRoot && ownRunGroups() ? undefined : 'it needs root and cgroup v2',
)

/** A worker of root whose agents run their prompt as a shell script of the user nobody. */
async function startPlace() {
  const fleet = await startFleet({env: {A2A_AGENT_USER: 'nobody', A2A_CANCEL_GRACE: '2'}})
  chmodSync(fleet.path, 0o755)
  const binary = join(fleet.path, 'agent')
  copyFileSync(stubBinary, binary)
  chmodSync(binary, 0o755)
  const tree = repository(join(fleet.path, 'p'))
  spawnSync('chown', ['-R', 'nobody:nogroup', tree])
  const env = {...fleet.env, OPENCODE_BIN_PATH: binary}
  const startWorker = async () => {
    const worker = fleet.startAs(['start', '--name', 'w', '--codebase', tree], {env})
    await says(worker, 'Task stream connected')
    return worker
  }
  const worker = await startWorker()
  const codebase = await fleet.codebaseId(tree)
  return {
    ...fleet,
    tree,
    worker,
    startWorker,
    begin: async (script: string) => (await fleet.http.task(codebase, {prompt: printing(stepStart()) + script})).id,
    said: (name: string) => readFileSync(join(tree, name), 'utf8'),
  }
}

describe.skipIf(skip)('agent_user', () => {
  test('the agent has no capability, cannot become root, and reads neither state, token nor environment of the worker', async () => {
    await using place = await startPlace()
    const look = [
      'id -un >who; id -G >groups; grep ^Cap /proc/self/status >caps; echo "$HOME $TMPDIR" >homes; ls -ld "$TMPDIR" >tmp',
      `ls ${place.path}/state >state 2>&1; cat "/proc/$PPID/environ" >environ 2>&1; cat /proc/${place.worker.process.pid}/environ >worker 2>&1`,
      'setpriv --reuid 0 true >root 2>&1; kill -0 ' + place.worker.process.pid + ' >kill 2>&1; touch "$TMPDIR/left"',
    ].join('\n')
    const task = await place.ended(await place.begin(`${look}\n${answering('done')}`))
    expect(task).toMatchObject({status: 'completed', result: 'done'})
    expect(place.said('who')).toBe('nobody\n')
    expect(place.said('groups')).toBe('65534\n')
    expect(place.said('caps').match(/[0-9a-f]{16}/g)).toEqual(Array.from({length: 5}, () => '0'.repeat(16)))
    expect(place.said('homes')).toMatch(/^\/nonexistent \/tmp\/a2a-run-[0-9a-f]{16}\n$/)
    expect(place.said('tmp')).toMatch(/^drwx------ .* nobody /)
    expect(place.said('state')).toContain('Permission denied')
    expect(place.said('worker')).toContain('Permission denied')
    expect(place.said('root')).toContain('Operation not permitted')
    expect(place.said('kill')).toMatch(/not permitted/i)
    const [, folder = ''] = place.said('homes').trim().split(' ')
    await until(() => !existsSync(folder), 'the temporary folder to be removed')
  })

  test('a cancelled agent, and what it has left, is told to end and then killed', async () => {
    await using place = await startPlace()
    const id = await place.begin(
      `trap 'echo told >told' TERM\n(env -i setsid sleep 97531 &)\ntouch begun\nwhile :; do sleep 0.1; done`,
    )
    await until(() => existsSync(join(place.tree, 'begun')), 'the agent')
    await until(() => spawnSync('pgrep', ['-fx', 'sleep 97531']).status === 0, 'its process')
    expect((await place.cli(['tasks', 'cancel', id])).code).toBe(0)
    expect(await place.ended(id)).toMatchObject({status: 'cancelled'})
    expect(place.said('told')).toBe('told\n')
    expect(spawnSync('pgrep', ['-fx', 'sleep 97531']).status).toBe(1)
  })

  test('an agent outlives its worker, is adopted by the next one, and holds its working tree meanwhile', async () => {
    await using place = await startPlace()
    const id = await place.begin(`touch begun; while [ ! -e go ]; do sleep 0.05; done; ${answering('done')}`)
    await until(() => existsSync(join(place.tree, 'begun')), 'the agent')
    await stop(place.worker, 'SIGKILL')
    const second = await place.startWorker()
    await says(second, 'Going on with a run whose agent is at work')
    writeFileSync(join(place.tree, 'go'), '')
    expect(await place.ended(id)).toMatchObject({status: 'completed', result: 'done', attempt: 1})
  })

  test('doctor and start name a codebase in which that user cannot work, with the fix', async () => {
    await using place = await startPlace()
    const other = repository(join(place.path, 'closed'))
    const env = {...place.env, OPENCODE_BIN_PATH: join(place.path, 'agent'), A2A_CODEBASES: `${other},${place.tree}`}
    const {stdout} = await place.run(['doctor'], {env})
    expect(stdout).toContain(`the user nobody, whom agents run as, cannot write to ${other}`)
    expect(stdout).toContain(`→ setfacl -R -m u:nobody:rwX -m d:u:nobody:rwX ${other}`)
    expect(stdout).not.toContain(`cannot write to ${place.tree}`)
    expect(stdout).toContain('each run has a control group')
    const second = place.startAs(['start', '--name', 'second', '--codebase', other], {env: {...env, A2A_CODEBASES: ''}})
    await says(second, `the user nobody, whom agents run as, cannot write to ${other}`)
  })

  test('a user that is missing, or root, or that this process may not become, ends the start with 78', async () => {
    await using fleet = await startFleet()
    const tree = repository(join(fleet.path, 'p'))
    const start = (user: string, by: string[] = []) =>
      fleet.run(['start', '--codebase', tree], {env: {...fleet.env, A2A_AGENT_USER: user}, by})
    expect(await start('no-such-user')).toMatchObject({
      code: 78,
      stderr: expect.stringContaining('there is no such user'),
    })
    expect(await start('root')).toMatchObject({code: 78, stderr: expect.stringContaining('agent_user is root')})
    const bound = ['setpriv', '--bounding-set=-setuid,-setgid', '--inh-caps=-all', '--']
    expect(await start('nobody', bound)).toMatchObject({
      code: 78,
      stderr: expect.stringContaining('may not start programs as that user'),
    })
    const withoutGroups = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /sys/fs/cgroup && exec "$@"', 'sh']
    expect(await start('nobody', withoutGroups)).toMatchObject({
      code: 78,
      stderr: expect.stringContaining('agent_user needs a control group for each run, but this process may create no'),
    })
  })
})
