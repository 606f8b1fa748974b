import {afterAll, describe, expect, test} from 'vitest'
import {join} from 'node:path'
import {acpAgent} from '../support/acp-agent.ts'
import {stop} from '../support/cli.ts'
import {startFleet} from '../support/fleet.ts'
import {until} from '../support/scratch.ts'
import {mkdirSync, readFileSync, readdirSync} from 'node:fs'

const agents = {
  scripted: {command: [acpAgent], env_allow: ['ACP_*']},
  count: {type: 'command', command: ['wc', '-c']},
}
const env = {A2A_AGENTS: JSON.stringify(agents)}

describe('a task names the agent that runs it', async () => {
  const fleet = await startFleet({env})
  afterAll(() => fleet[Symbol.asyncDispose]())
  const path = join(fleet.path, 'api')
  mkdirSync(path)
  const worker = await fleet.worker('w', [path])

  test('it is run by that agent, and its output is read like that of OpenCode', async () => {
    const created = await fleet.cli([
      'tasks',
      'create',
      '-b',
      path,
      '--with',
      'scripted',
      '--follow',
      'tool read a file\ntext All done.',
    ])
    expect([created.code, created.stdout]).toEqual([0, expect.stringContaining('All done.')])
    expect(worker.stderr()).toMatch(/Executing task \(agent scripted, pid/)
    const counted = await fleet.cli(['tasks', 'create', '-b', path, '--with', 'count', '--wait', '12345'])
    expect([counted.code, counted.stdout.trim()]).toEqual([0, '5'])
  })

  test('status names the agents', async () => {
    expect((await fleet.cli(['status'])).stdout).toMatch(/agents +opencode, .*scripted, count/)
  })

  test('models lists those of an agent, or says why it cannot', async () => {
    const listed = await fleet.cli(['models', '--with', 'scripted'])
    expect(listed).toMatchObject({code: 0, stdout: expect.stringMatching(/fake\/small +\S+.* scripted/)})
    expect(await fleet.cli(['models', '--with', 'count'])).toMatchObject({
      ...{code: 0, stdout: 'No models.\n', stderr: expect.stringContaining('lets nobody choose')},
    })
    expect(await fleet.cli(['models', '--with', 'nobody'])).toMatchObject({
      ...{code: 78, stderr: expect.stringMatching(/no agent "nobody" on this machine; there are opencode, .*scripted/)},
    })
    const broken = {
      ...fleet.env,
      A2A_AGENTS: JSON.stringify({gone: {command: ['sh', '-c', 'echo no brain >&2; exit 1']}}),
    }
    expect(await fleet.run(['models', '--with', 'gone'], {env: broken})).toMatchObject({
      ...{code: 78, stderr: expect.stringMatching(/gone does not tell its models: it ended before .*no brain/)},
    })
  })

  test('an agent that the worker does not have is refused with those that it has', async () => {
    const refused = await fleet.cli(['tasks', 'create', '-b', path, '--with', 'nobody', 'x'])
    expect(refused.code).not.toBe(0)
    expect(refused.stderr).toMatch(
      /The worker of this codebase does not have the agent nobody; there are opencode, .*scripted, count/,
    )
  })

  test('a worker that is killed in its turn is followed by one that goes on with it', async () => {
    const id = (
      await fleet.cli(['tasks', 'create', '-b', path, '--with', 'scripted', 'tool read one\nsleep 3000\ntext later'])
    ).stdout.trim()
    await until(async () => (await fleet.output(id)).includes('tool_use'), 'the first tool call')
    await stop(worker, 'SIGKILL')
    await fleet.worker('w', [path])
    const task = await fleet.ended(id)
    expect(task).toMatchObject({status: 'completed', result: expect.stringContaining('later'), attempt: 1})
    expect((await fleet.output(id)).match(/"tool_use"/g)).toHaveLength(1)
    const marked = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && environ(name).includes(`:${id}:`))
    expect(marked).toEqual([])
  })
})

function environ(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1')
  } catch {
    return ''
  }
}
