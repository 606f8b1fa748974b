import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {findLocalWorkers} from '../../src/lib/control/local-workers.ts'
import {sendRequest} from '../../src/lib/control/socket-client.ts'
import {answering, printing, stepStart} from '../support/agent-lines.ts'
import {root} from '../support/cli.ts'
import {startOneWorker} from '../support/one-worker.ts'
import {until} from '../support/scratch.ts'

const operations = ['pause', 'drain', 'add-codebase'] as const

test.skipIf(process.platform !== 'linux')(
  'the socket takes no pause, drain or codebase from an agent, whatever it does to its environment; a person steers',
  async () => {
    await using place = await startOneWorker()
    const stateDir = place.env['A2A_STATE_DIR'] ?? ''
    const worker = await until(async () => (await findLocalWorkers(place.env, stateDir))[0], 'the worker')
    const {socket} = worker
    // Asks as a program of ours would, and then names the pid of the worker and of its parent as its own.
    const script = `
      import {sendRequest, fetchWorkerStatus} from '${root}/dist/lib/control/socket-client.js'
      const say = (text) => console.log(text)
      for (const op of ${JSON.stringify(operations)})
        await sendRequest('${socket}', {op, name: 'x', path: '/', description: ''}).then(() => say('done'), (error) => say(error.message))
      for (const pid of [${process.pid}, ${worker.pid}]) {
        Object.defineProperty(process, 'pid', {value: pid})
        await sendRequest('${socket}', {op: 'pause'}).then(() => say('done'), (error) => say(error.message))
      }
      say((await fetchWorkerStatus('${socket}')).name)
    `
    const ask = `cat >ask.mjs <<'E'\n${script}\nE\nenv -i setsid ${process.execPath} ask.mjs >said 2>&1; ${process.execPath} ask.mjs >marked 2>&1`
    const task = await place.begin(`${printing(stepStart())}${ask}\n${answering('done')}`)
    expect(await place.ended(task)).toMatchObject({status: 'completed'})
    const refusal = 'The worker refused: agents, and programs that they start, may only read.'
    const unproved = 'The worker refused: the command has not proved which process it is.'
    const expected = [refusal, refusal, refusal, unproved, unproved, 'w', ''].join('\n')
    const said = (name: string) => readFileSync(join(place.tree, name), 'utf8')
    expect(said('marked')).toBe(expected)
    if (worker.containment === 'cgroup') expect(said('said')).toBe(expected)
    expect((await findLocalWorkers(place.env, stateDir))[0]).toMatchObject({paused: false, phase: 'running'})
    await sendRequest(socket, {op: 'pause'})
    expect((await findLocalWorkers(place.env, stateDir))[0]).toMatchObject({paused: true})
  },
)
