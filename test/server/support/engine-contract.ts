import {describe, expect, test} from 'vitest'
import {HttpError} from '../../../src/lib/server/http/http-error.ts'
import {declineTask} from '../../../src/lib/server/rules/tasks/declines.ts'
import {storeInput} from '../../../src/lib/server/rules/tasks/inputs.ts'
import {lapse} from '../../../src/lib/server/rules/tasks/lapse.ts'
import {takeOutput} from '../../../src/lib/server/rules/tasks/output.ts'
import {takeQuestions} from '../../../src/lib/server/rules/tasks/questions.ts'
import {cancelTask, claimTask, reportStatus, retryTask} from '../../../src/lib/server/rules/tasks/reports.ts'
import type {Change} from '../../../src/lib/server/state/decision.ts'
import {decide, type Rule} from '../../../src/lib/server/state/draft.ts'
import type {Engine} from '../../../src/lib/server/store/engine.ts'
import {addTask, addWorker, assigning, claiming, open} from './engine-world.ts'

export type TestedEngine = AsyncDisposable & {
  engine: Engine
  /** Lets this much time pass on the lease clock, in ms. */
  pass(ms: number): void
  /** The same engine after a restart of its process. What is in memory only is gone. */
  restarted(): Promise<Engine>
}

/** Calls are decided in their order, so that only the last one must be waited for. */
const runner = (engine: Engine) => ({
  state: engine.state,
  run: <Request, Answer>(rule: Rule<Request, Answer>, request: Request): Promise<Answer> =>
    engine.execute(() => decide(engine.state, rule, request)),
})

/** What every engine must do, whatever it keeps its state in. */
export function testEngine(name: string, start: () => Promise<TestedEngine>): void {
  const world = async () => {
    const tested = await start()
    const plane = runner(tested.engine)
    return {...tested, plane, [Symbol.asyncDispose]: () => tested[Symbol.asyncDispose]()}
  }
  const statusOf = (engine: Engine, id = 't') => {
    const task = engine.state.get('task', id)
    return task && `${task.status} ${task.attempt} ${task.worker_id ?? '-'}`
  }
  const report = (worker_id: string, status: string, attempt: number) => ({task_id: 't', worker_id, status, attempt})

  describe(name, () => {
    test('shows what it has applied at once, and keeps it through a restart', async () => {
      await using one = await world()
      const {engine, plane} = one
      addWorker(plane, 'w', {codebases: ['c', 'd']})
      await addTask(plane, 't', 'c', {prompt: 'Zeile\n', priority: 2.5, metadata: {a: [1]}})
      await addTask(plane, 'next', 'c')
      expect(statusOf(engine)).toBe('assigned 1 w')
      await engine.durable()
      const again = await one.restarted()
      expect(again.state.get('task', 't')).toMatchObject({
        prompt: 'Zeile\n',
        priority: 2.5,
        metadata: {a: [1]},
        attempt: 1,
      })
      expect(again.state.get('lease', 't')).toMatchObject({workerId: 'w', attempt: 1, isConfirmed: false})
      expect([...again.state.queue('c')].map(({id}) => id)).toEqual(['next'])
      expect([...again.state.find('codebasesOf', 'w')].map(({id}) => id)).toEqual(['c', 'd'])
      expect(again.state.lastNumber).toBeGreaterThanOrEqual(2)
    })

    test('begins leases again at a restart: an assignment must be confirmed, a run must be renewed', async () => {
      await using one = await world()
      addWorker(one.plane, 'w', {codebases: ['c', 'd']})
      await addTask(one.plane, 't', 'c')
      await one.plane.run(claimTask, {task_id: 't', worker_id: 'w', attempt: 1})
      await addTask(one.plane, 'assigned', 'd')
      await one.engine.durable()
      const engine = await one.restarted()
      const again = runner(engine)
      one.pass(10_001)
      await again.run(lapse, undefined)
      expect([statusOf(engine), statusOf(engine, 'assigned')]).toEqual(['running 1 w', 'pending 2 -'])
      one.pass(50_000)
      await again.run(lapse, undefined)
      expect(engine.state.get('task', 't')?.lost_since).not.toBeNull()
    })

    test('applies all of a decision or none of it', async () => {
      await using one = await world()
      const {engine, plane} = one
      addWorker(plane, 'w', {codebases: ['c'], isConnected: false})
      await addTask(plane, 't', 'c')
      const before = engine.state.get('task', 't')
      const audits = engine.views.audit.page({start: {after: 0}}, 100).entries.length
      const unstorable: Change = {do: 'set-models', workerId: {} as string, models: []}
      const failing = engine.execute(() => {
        const {changes, ...decision} = decide(engine.state, cancelTask, {task_id: 't', by: 'me'})
        return {...decision, changes: [...changes, unstorable]}
      })
      await expect(failing).rejects.toThrow()
      await engine.durable()
      expect(engine.state.get('task', 't')).toEqual(before)
      expect(engine.views.audit.page({start: {after: 0}}, 100).entries).toHaveLength(audits)
    })

    test('of many workers that claim a task at once one gets it', async () => {
      await using one = await world()
      const {engine, plane} = one
      const workers = Array.from({length: 20}, (_, i) => `w${i}`)
      for (const worker of workers) addWorker(plane, worker, {features: claiming, isConnected: false})
      await addTask(plane, 't', 'global')
      const claims = workers.map((worker_id) => plane.run(claimTask, {task_id: 't', worker_id, attempt: null}))
      const outcomes = (await Promise.allSettled(claims)).map(({status}) => status)
      expect(outcomes.filter((outcome) => outcome === 'fulfilled')).toHaveLength(1)
      expect(statusOf(engine)).toBe(`running 1 w${outcomes.indexOf('fulfilled')}`)
      expect(engine.state.count('leases', '')).toBe(1)
    })

    test('a worker is not assigned more tasks than it has slots, by requests that cross', async () => {
      await using one = await world()
      const {engine, plane} = one
      addWorker(plane, 'w', {slots: 2, codebases: ['c', 'd', 'e', 'f']})
      await Promise.all(['c', 'd', 'e', 'f'].map((codebase) => addTask(plane, `t-${codebase}`, codebase)))
      expect(engine.state.count('leasesOf', 'w')).toBe(2)
      expect(engine.views.tasks.counts()).toEqual({assigned: 2, pending: 2})
    })

    test('two tasks are not assigned in one working tree, by requests that cross', async () => {
      await using one = await world()
      const {engine, plane} = one
      addWorker(plane, 'w', {codebases: ['c'], slots: 5})
      await Promise.all(['one', 'two'].map((id) => addTask(plane, id, 'c')))
      expect(engine.state.count('leasesIn', 'c')).toBe(1)
      expect([...engine.state.queue('c')]).toHaveLength(1)
    })

    test('of a cancellation and an end that cross, the one that comes first counts', async () => {
      for (const isCancelFirst of [true, false]) {
        await using one = await world()
        const {engine, plane} = one
        addWorker(plane, 'w', {codebases: ['c']})
        await addTask(plane, 't', 'c')
        await plane.run(claimTask, {task_id: 't', worker_id: 'w', attempt: 1})
        const cancel = () => plane.run(cancelTask, {task_id: 't', by: null})
        const finish = () => plane.run(reportStatus, report('w', 'completed', 1))
        const both = isCancelFirst ? [cancel(), finish()] : [finish(), cancel()]
        const outcomes = (await Promise.allSettled(both)).map(({status}) => status)
        expect(outcomes).toEqual(['fulfilled', isCancelFirst ? 'fulfilled' : 'rejected'])
        expect(statusOf(engine)).toBe('completed 1 w')
      }
    })

    test('late reports, output and declines of an earlier attempt change nothing', async () => {
      await using one = await world()
      const {engine, plane} = one
      addWorker(plane, 'w', {codebases: ['c']})
      await addTask(plane, 't', 'c')
      const output = {task_id: 't', worker_id: 'w', output: 'x', timestamp: null, attempt: 1, offset: 0, length: 1}
      await plane.run(reportStatus, report('w', 'pending', 1))
      expect(statusOf(engine)).toBe('assigned 2 w')
      await expect(plane.run(claimTask, {task_id: 't', worker_id: 'w', attempt: 1})).rejects.toThrow(HttpError)
      await expect(plane.run(reportStatus, report('w', 'completed', 1))).rejects.toThrow(HttpError)
      await expect(plane.run(takeOutput, output)).rejects.toThrow(HttpError)
      const decline = {task_id: 't', worker_id: 'w', reason: '', retry_ms: null, attempt: 1, only: undefined}
      await plane.run(declineTask, decline)
      expect(statusOf(engine)).toBe('assigned 2 w')
      expect([...engine.views.output.read('t', 0)]).toEqual([])
    })

    test('output is stored once and in order, by requests that cross', async () => {
      await using one = await world()
      const {engine, plane} = one
      addWorker(plane, 'w', {codebases: ['c']})
      await addTask(plane, 't', 'c')
      const batch = (offset: number) => ({
        ...{task_id: 't', worker_id: 'w', output: `at ${offset}`, timestamp: null},
        ...{attempt: 1, offset, length: 10},
      })
      await plane.run(takeOutput, batch(0))
      expect(await Promise.all([10, 10].map((offset) => plane.run(takeOutput, batch(offset))))).toEqual([20, 20])
      await expect(plane.run(takeOutput, batch(30))).rejects.toThrow('goes on at 20')
      expect([...engine.views.output.read('t', 0)].map(({output}) => output)).toEqual(['at 0', 'at 10'])
    })

    test('questions and inputs survive a restart, and the holder gets again what it has not reported', async () => {
      await using one = await world()
      addWorker(one.plane, 'w', {codebases: ['c'], features: [...assigning, 'input']})
      await addTask(one.plane, 't', 'c')
      await one.plane.run(claimTask, {task_id: 't', worker_id: 'w', attempt: 1})
      const question = {id: 'q', kind: 'permission' as const, title: 'bash: ls', options: [], since: 1, until: null}
      const report = {task_id: 't', worker_id: 'w', attempt: 1, questions: [question], inputs: []}
      await one.plane.run(takeQuestions, report)
      const input = {id: 'i', question: 'q', option: 'deny', text: null, mode: 'queue' as const, signature: null}
      const answer = {task_id: 't', input, by: 'ann', next_id: 'n'}
      await one.plane.run(storeInput, answer)
      await one.engine.durable()
      const engine = await one.restarted()
      const again = runner(engine)
      expect(engine.state.get('dialogue', 't')).toMatchObject({
        questions: [question],
        settled: [{id: 'q', input: 'i', by: 'ann'}],
        undelivered: ['i'],
        inputs: 1,
      })
      expect((await again.run(storeInput, answer)).input).toMatchObject({id: 'i', state: 'stored', created_by: 'ann'})
      const told: unknown[] = []
      engine.attach({onChanges: () => {}, perform: (event) => void (event.type === 'input' && told.push(event.input))})
      open(again, 'w')
      await expect.poll(() => told).toMatchObject([{id: 'i', option: 'deny'}])
      const results = [{id: 'i', outcome: 'delivered' as const, reason: null}]
      await again.run(takeQuestions, {...report, questions: [], inputs: results})
      await engine.durable()
      expect(engine.state.get('dialogue', 't')).toMatchObject({undelivered: [], questions: []})
      expect([...engine.views.inputs.list('t', {})]).toMatchObject([{id: 'i', state: 'delivered'}])
      expect([...engine.views.inputs.list('t', {state: 'stored'})]).toEqual([])
    })

    test('a restarted task keeps its output, and its earlier result is gone', async () => {
      await using one = await world()
      const {engine, plane} = one
      addWorker(plane, 'w', {codebases: ['c']})
      await addTask(plane, 't', 'c')
      const last = {output: 'whole', offset: 0, length: 5}
      await plane.run(reportStatus, {...report('w', 'failed', 1), result: 'r', error: 'e', output: last})
      expect(engine.state.get('task', 't')).toMatchObject({result: 'r', error: 'e', output_chars: 6, output_seq: 1})
      await plane.run(retryTask, {task_id: 't', force: false, by: null})
      expect(engine.state.get('task', 't')).toMatchObject({result: null, error: null, attempt: 2, output_next: 0})
      expect([...engine.views.output.read('t', 0)]).toHaveLength(1)
    })
  })
}
