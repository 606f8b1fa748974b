import {readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, describe, expect, test} from 'vitest'
import {adoptRun} from '../../src/lib/executor/adopt.ts'
import {systemClock} from '../../src/lib/core/clock.ts'
import {completeEvents} from '../../src/lib/executor/acp/complete-events.ts'
import {AgentChannel} from '../../src/lib/executor/acp/channel.ts'
import {openStdin} from '../../src/lib/executor/acp/agent-stdin.ts'
import {SentLog} from '../../src/lib/executor/acp/sent-log.ts'
import type {RunRequest} from '../../src/lib/executor/executor.ts'
import {isAlive} from '../../src/lib/executor/processes/processes.ts'
import {acpExecutor} from '../support/acp-agent.ts'
import {killedWorker} from '../support/killed-worker.ts'
import {processesOf, recordingObserver, relaxed, requestFor} from '../support/agent-run.ts'
import {scratchFolder} from '../support/scratch.ts'
import {waitFor} from '../support/wait-for.ts'

const scratch = scratchFolder()
afterAll(() => scratch[Symbol.dispose]())

const request = (prompt: string, rest: Partial<RunRequest> = {}) => requestFor(scratch.path, prompt, rest)
const linesOf = (path: string) => readFileSync(path, 'utf8').trimEnd().split('\n')

describe('an agent goes on when its worker is killed with -9', () => {
  test('in the middle of a turn: nothing is lost, nothing is twice', async () => {
    const made = request('chunks 300 a\ntool read one\nchunks 300 b\ntool read two\ntext the end\nusage 5 6')
    const worker = await killedWorker(made, {home: scratch.path, when: (events) => events.includes('"read"')})
    const before = readFileSync(join(made.runDir, 'stdout.ndjson'), 'utf8')
    const {observed, observer} = recordingObserver()
    const agent = adoptRun({request: made, observer, clock: systemClock, root: worker.agent})
    const outcome = await agent.outcome
    expect(outcome).toMatchObject({status: 'completed', result: 'the end', usage: {input: 5, output: 6}})
    const after = readFileSync(join(made.runDir, 'stdout.ndjson'), 'utf8')
    expect(after.startsWith(before)).toBe(true)
    const types = linesOf(join(made.runDir, 'stdout.ndjson')).map((line) => (JSON.parse(line) as {type: string}).type)
    expect(types).toEqual(['step_start', 'text', 'tool_use', 'text', 'tool_use', 'text', 'step_finish'])
    expect(observed.sessions).toHaveLength(1)
    expect(processesOf(made.marker)).toEqual([])
  })

  test('while a permission is open: the question is asked again, and its answer reaches the agent once', async () => {
    const made = request('permission p1 edit a file\ntext done')
    const policy = {permissions: 'ask', askMs: 600_000} as const
    const worker = await killedWorker(made, {home: scratch.path, policy, when: (_, sent) => sent.includes('"asked"')})
    const {observed, observer} = recordingObserver()
    const agent = adoptRun({request: made, observer, clock: systemClock, root: worker.agent})
    await waitFor(() => observed.questions.length > 0, 'the question')
    const [question] = observed.questions[0] ?? []
    expect(question).toMatchObject({
      kind: 'permission',
      title: 'edit a file',
      options: [{id: 'once'}, {id: 'always'}, {id: 'reject'}],
    })
    const answer = {id: 'in-1', question: question!.id, option: 'always', text: null, mode: 'queue'} as const
    agent.give?.(answer)
    agent.give?.(answer)
    agent.give?.({...answer, id: 'in-2'})
    expect(await agent.outcome).toMatchObject({status: 'completed', result: 'p1: alwaysdone'})
    expect(observed.inputs).toEqual([
      {id: 'in-2', outcome: 'refused', reason: 'this question is not open any more'},
      {id: 'in-1', outcome: 'delivered', reason: null},
    ])
    expect(observed.questions.at(-1)).toEqual([])
  })

  test('and is answered before the next worker has read what it asks', async () => {
    const made = request('permission p1 edit a file\ntext done')
    const policy = {permissions: 'ask', askMs: 600_000} as const
    const worker = await killedWorker(made, {home: scratch.path, policy, when: (_, sent) => sent.includes('"asked"')})
    const [question] = SentLog.read(made.runDir)!.asked.keys()
    const {observed, observer} = recordingObserver()
    const agent = adoptRun({request: made, observer, clock: systemClock, root: worker.agent})
    agent.give?.({id: 'in-1', question: question!, option: 'always', text: null, mode: 'queue'})
    agent.give?.({id: 'in-2', question: 'none', option: 'always', text: null, mode: 'queue'})
    expect(await agent.outcome).toMatchObject({status: 'completed', result: 'p1: alwaysdone'})
    expect(observed.inputs.toSorted((a, b) => a.id.localeCompare(b.id))).toEqual([
      {id: 'in-1', outcome: 'delivered', reason: null},
      {id: 'in-2', outcome: 'refused', reason: 'this question is not open any more'},
    ])
  })

  test('and has ended its turn meanwhile: it is judged at once, and its process is ended', async () => {
    const made = request('text quick\nsleep 200\ntext answer')
    const worker = await killedWorker(made, {
      home: scratch.path,
      when: (_, sent) => sent.includes('"written":"prompt-1"'),
    })
    const messages = join(made.runDir, 'messages.ndjson')
    await waitFor(() => readFileSync(messages, 'utf8').includes('end_turn'), 'the end of the turn')
    expect(isAlive(worker.agent)).toBe(true)
    const {observer} = recordingObserver()
    const agent = adoptRun({request: made, observer, clock: systemClock, root: worker.agent})
    expect(await agent.outcome).toMatchObject({status: 'completed', result: 'quickanswer'})
    expect(processesOf(made.marker)).toEqual([])
  })

  test('and dies before another one comes: its last events are completed', async () => {
    const go = join(scratch.path, 'go-and-die')
    const made = request(`text one\nshell while [ ! -e '${go}' ]; do sleep 0.02; done\ntext two\ndie`)
    const worker = await killedWorker(made, {
      home: scratch.path,
      when: (_, sent) => sent.includes('"written":"prompt-1"'),
    })
    writeFileSync(go, '')
    await waitFor(() => !isAlive(worker.agent), 'the end of the agent')
    await completeEvents(made.runDir)
    await completeEvents(made.runDir)
    const text = readFileSync(join(made.runDir, 'stdout.ndjson'), 'utf8')
    expect(text.match(/"type":"text","timestamp"/g)).toHaveLength(2)
    expect(text.match(/"tool_use"/g)).toHaveLength(1)
  })
})

/** A worker that is killed at a certain moment of a write. */
class Killed extends Error {}

test('a line reaches the agent once, whenever its worker is killed', async () => {
  const log = join(scratch.path, 'killed.log')
  const prompt = 'text once'
  // Each part is: the line is noted, its bytes are written in two pieces, it is marked, its line feed is written.
  for (let killedAt = 0; killedAt < 10; killedAt += 1) {
    const made = request(prompt)
    const home = scratch.path
    const worker = await killedWorker(made, {
      home,
      log: `${log}.${killedAt}`,
      behaviour: 'slow-session',
      when: (_, sent) => sent.includes('"written":"session"'),
    })
    const sent = SentLog.read(made.runDir)
    if (!sent) throw new Error('no log')
    let step = -Infinity
    const dies = () => {
      step += 1
      if (step > killedAt) throw new Killed()
    }
    const real = openStdin(join(made.runDir, 'stdin'), systemClock)
    const add = sent.add.bind(sent)
    sent.add = (entry) => {
      dies()
      add(entry)
    }
    const stdin = {
      async write(text: string, signal: AbortSignal) {
        for (const piece of [text.slice(0, 20), text.slice(20)]) {
          dies()
          await real.write(piece, signal)
        }
        return true
      },
      [Symbol.dispose]() {},
    }
    const channel = new AgentChannel(sent, stdin, new AbortController().signal)
    // The worker may have been killed before the line feed of its last request.
    await waitFor(() => sessionOf(made), 'the session')
    step = 0
    const params = {sessionId: sessionOf(made), prompt: [{type: 'text', text: prompt}]}
    void channel.request('prompt-1', 'session/prompt', params).catch(() => {})
    await channel.idle()
    real[Symbol.dispose]()
    const {observer} = recordingObserver()
    const agent = adoptRun({request: made, observer, clock: systemClock, root: worker.agent})
    expect(await agent.outcome, `killed at step ${killedAt}`).toMatchObject({status: 'completed', result: 'once'})
    const got = linesOf(`${log}.${killedAt}`).filter((line) => line.includes('session/prompt') && isJson(line))
    expect(got, `killed at step ${killedAt}`).toHaveLength(1)
  }
})

const sessionOf = ({runDir}: RunRequest) =>
  /"sessionId":"([^"]+)"/.exec(readFileSync(join(runDir, 'messages.ndjson'), 'utf8'))?.[1]

function isJson(line: string): boolean {
  try {
    JSON.parse(line)
    return true
  } catch {
    return false
  }
}

test('an agent that was started again continues its session, with its output behind that of the first', async () => {
  const executor = acpExecutor(scratch.path)
  const made = request('text one\nsleep 50\ndie')
  const {observer} = recordingObserver()
  const first = await (await executor.prepare(made)).start(observer)
  const {sessionId, status} = await first.outcome
  expect(status).toBe('failed')
  const again = {...made, prompt: 'text two', sessionId: sessionId ?? '', continues: true, deadlines: relaxed}
  const second = await (await executor.prepare(again)).start(observer)
  expect(await second.outcome).toMatchObject({status: 'completed', result: 'two', sessionId})
  expect(readFileSync(join(made.runDir, 'stdout.ndjson'), 'utf8')).toMatch(/one[^]*two/)
})
