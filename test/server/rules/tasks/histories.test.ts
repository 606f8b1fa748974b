import fc from 'fast-check'
import {expect, test} from 'vitest'
import {HttpError} from '../../../../src/lib/server/http/http-error.ts'
import {disconnect} from '../../../../src/lib/server/rules/registry/connections.ts'
import {unregisterWorker} from '../../../../src/lib/server/rules/registry/register-worker.ts'
import {declineTask} from '../../../../src/lib/server/rules/tasks/declines.ts'
import {recordHeartbeat} from '../../../../src/lib/server/rules/tasks/heartbeats.ts'
import {lapse} from '../../../../src/lib/server/rules/tasks/lapse.ts'
import {takeOutput} from '../../../../src/lib/server/rules/tasks/output.ts'
import {pollTasks} from '../../../../src/lib/server/rules/tasks/polls.ts'
import {cancelTask, claimTask, reportStatus, retryTask} from '../../../../src/lib/server/rules/tasks/reports.ts'
import type {Rule} from '../../../../src/lib/server/state/draft.ts'
import {all} from '../../../../src/lib/server/state/records.ts'
import {addCodebase, addTask, addWorker, claiming, existing, open} from '../../support/engine-world.ts'
import {MemoryEngine} from '../../support/memory-engine.ts'

/** Workers `a` and `b` take assignments, `c` claims, and `p` is the existing worker. Codebase `x` is that of worker `x`. */
const slots = {a: 2, b: 1, c: 2, p: 2}
const workers = ['a', 'b', 'c', 'p'] as const
type WorkerName = (typeof workers)[number]
/** `a2` is another codebase in the working tree of `a`. */
const codebases = ['a', 'b', 'c', 'p', 'a2', 'global']

type Step = {what: string; worker: WorkerName; codebase: string; task: number; priority: number; late: number}

const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom(
    ...[
      'create',
      'create',
      'claim',
      'confirm',
      'output',
      'output',
      'again',
      'gap',
      'complete',
      'fail',
      'return',
      'cancel',
      'retry',
    ],
    ...[
      'decline',
      'heartbeat',
      'empty heartbeat',
      'poll',
      'connect',
      'disconnect',
      'restart',
      'leave',
      'wait',
      'long wait',
    ],
  ),
  worker: fc.constantFrom(...workers),
  codebase: fc.constantFrom(...codebases),
  /** Which of the tasks so far. */
  task: fc.nat({max: 30}),
  priority: fc.constantFrom(0, 0, 5),
  /** How far behind the current attempt a late report is. */
  late: fc.constantFrom(0, 0, 0, 1),
})

class World {
  readonly engine = new MemoryEngine()
  readonly ids: string[] = []
  readonly connections = new Map<WorkerName, string>()

  constructor() {
    const features = {a: undefined, b: undefined, c: claiming, p: existing}
    for (const name of workers) {
      const given = features[name]
      addWorker(this.engine, name, {...(given ? {features: given} : {}), slots: slots[name], isConnected: false})
      addCodebase(this.engine, name, name, name === 'a' ? '/tree' : null)
      this.connections.set(name, open(this.engine, name))
    }
    addCodebase(this.engine, 'a', 'a2', '/tree')
  }

  /** The request of a step, as a rule and what it is given. Undefined if it makes no sense now. */
  request({what, worker, codebase, task: index, priority, late}: Step): (() => unknown) | undefined {
    const {engine, ids} = this
    const run =
      <R, A>(rule: Rule<R, A>, request: R) =>
      () =>
        engine.run(rule, request)
    if (what === 'create') {
      const id = `t${ids.length}`
      ids.push(id)
      return () => addTask(engine, id, codebase, {priority})
    }
    if (what === 'wait') return () => this.wait(11_000)
    if (what === 'long wait') return () => this.wait(61_000)
    if (what === 'connect') return () => this.connections.set(worker, open(engine, worker))
    if (what === 'disconnect')
      return run(disconnect, {workerId: worker, connectionId: this.connections.get(worker) ?? ''})
    if (what === 'restart') return () => addWorker(engine, worker, {slots: slots[worker], ...this.features(worker)})
    if (what === 'leave') return run(unregisterWorker, {worker_id: worker, by: null})
    if (what === 'poll') return worker === 'p' ? undefined : run(pollTasks, {worker_id: worker})
    if (what.endsWith('heartbeat')) {
      if (worker === 'p') return undefined
      const held = [...engine.state.find('leasesOf', worker)].map(({taskId, attempt}) => ({id: taskId, attempt}))
      const running = what === 'heartbeat' ? held : []
      return run(recordHeartbeat, {worker_id: worker, running, free: slots[worker] - running.length, paused: null})
    }
    const id = ids[index % Math.max(1, ids.length)]
    const known = id === undefined ? undefined : engine.tasks.get(id)
    if (id === undefined || known === undefined) return undefined
    return this.taskRequest(what, {
      id,
      worker,
      attempt: known.attempt - late,
      next: known.output_next,
      status: known.status,
    })
  }

  taskRequest(
    what: string,
    {
      id,
      worker,
      attempt,
      next,
      status,
    }: {id: string; worker: WorkerName; attempt: number; next: number; status: string},
  ): (() => unknown) | undefined {
    const {engine} = this
    const run =
      <R, A>(rule: Rule<R, A>, request: R) =>
      () =>
        engine.run(rule, request)
    const about = {task_id: id, worker_id: worker}
    switch (what) {
      case 'claim': // those who take assignments claim nothing that waits
        if ((worker === 'a' || worker === 'b') && status === 'pending') return undefined
        if (engine.state.get('offer', id)?.workerId !== worker && status === 'pending') return undefined
        return run(claimTask, {...about, attempt: null})
      case 'confirm':
        return run(claimTask, {...about, attempt})
      case 'output':
        return run(takeOutput, {...about, output: 'out', timestamp: null, attempt, offset: next, length: 3})
      case 'again':
        return run(takeOutput, {
          ...about,
          output: 'out',
          timestamp: null,
          attempt,
          offset: Math.max(0, next - 3),
          length: 3,
        })
      case 'gap':
        return run(takeOutput, {...about, output: 'out', timestamp: null, attempt, offset: next + 3, length: 3})
      case 'complete':
        return run(reportStatus, {...about, attempt, status: 'completed'})
      case 'fail':
        return run(reportStatus, {...about, attempt, status: 'failed', error: 'e'})
      case 'return':
        return run(reportStatus, {...about, attempt, status: 'pending'})
      case 'decline':
        return run(declineTask, {...about, reason: 'r', retry_ms: null, attempt: null, only: undefined})
      case 'cancel':
        return run(cancelTask, {task_id: id, by: null})
      default:
        return run(retryTask, {task_id: id, force: true, by: null})
    }
  }

  features(worker: WorkerName): {features?: readonly string[]} {
    if (worker === 'c') return {features: claiming}
    return worker === 'p' ? {features: existing} : {}
  }

  wait(ms: number): void {
    this.engine.time += ms
    this.lapse()
  }

  lapse(): void {
    while (this.engine.run(lapse, undefined));
  }

  /** Does what a step says. A refusal changes nothing. */
  do(step: Step): void {
    const {engine} = this
    const before = structuredClone(engine.tasks)
    try {
      this.request(step)?.()
    } catch (error) {
      if (!(error instanceof HttpError)) throw error
      expect(engine.tasks).toEqual(before)
    }
    this.check(before, step)
  }

  check(before: ReadonlyMap<string, {status: string; attempt: number}>, {what}: Step): void {
    const {engine} = this
    const leases = [...engine.state.find('leases', all)]
    for (const [id, {status, attempt, worker_id}] of engine.tasks) {
      const lease = engine.state.get('lease', id)
      const isHeld = status === 'running' || status === 'assigned'
      expect(lease !== undefined, `${id} is ${status}`).toBe(isHeld)
      if (lease)
        expect([lease.workerId, lease.attempt, lease.isConfirmed]).toEqual([worker_id, attempt, status === 'running'])
      const former = before.get(id)
      expect(attempt).toBeGreaterThanOrEqual(former?.attempt ?? 1)
      const hadEnded = former !== undefined && ['completed', 'failed', 'cancelled'].includes(former.status)
      if (hadEnded && what !== 'retry') expect([status, attempt]).toEqual([former.status, former.attempt])
      if (former?.status === 'pending' && isHeld) expect(attempt).toBeGreaterThanOrEqual(former.attempt)
    }
    const trees = leases.flatMap(({tree}) => tree ?? [])
    expect(new Set(trees).size, 'one task per working tree').toBe(trees.length)
    for (const worker of ['a', 'b'] as const)
      expect(engine.state.count('leasesOf', worker), `slots of ${worker}`).toBeLessThanOrEqual(slots[worker])
    this.checkOutput()
    this.checkQueues()
  }

  /** The output of an attempt has no gap and no overlap. */
  checkOutput(): void {
    const next = new Map<string, number>()
    for (const {task_id, attempt, offset, length} of this.engine.output) {
      const key = `${task_id} ${attempt}`
      expect(offset).toBe(next.get(key) ?? 0)
      next.set(key, (offset ?? 0) + (length ?? 0))
    }
  }

  /** The queues contain exactly the pending tasks. */
  checkQueues(): void {
    const {engine} = this
    const queued = codebases.flatMap((codebase) => [...engine.state.queue(codebase)].map(({id}) => id))
    const pending = [...engine.tasks.values()].filter(({status}) => status === 'pending').map(({id}) => id)
    expect(queued.toSorted()).toEqual(pending.toSorted())
  }
}

const histories = fc.array(step, {maxLength: 60})
const seed = Number(process.env['SEED'] ?? 14)
const numRuns = Number(process.env['RUNS'] ?? 400)

test('in any history there is one holder, one task per tree, growing attempts, final ends and whole output', () => {
  fc.assert(
    fc.property(histories, (steps) => {
      const world = new World()
      for (const each of steps) world.do(each)
    }),
    {seed, numRuns},
  )
})

test('nobody waits while a worker has room: after any history with all workers present, none could be given more', () => {
  fc.assert(
    fc.property(histories, (steps) => {
      const world = new World()
      for (const each of steps) world.do(each)
      const {engine} = world
      for (const name of workers) addWorker(engine, name, {slots: slots[name], ...world.features(name)})
      engine.time += 120_000
      for (const name of ['a', 'b', 'c'] as const) {
        const held = [...engine.state.find('leasesOf', name)].map(({taskId, attempt}) => ({id: taskId, attempt}))
        engine.run(recordHeartbeat, {worker_id: name, running: held, free: slots[name] - held.length, paused: null})
      }
      world.lapse()
      const free = (['a', 'b'] as const).filter(
        (name) => engine.state.count('leasesOf', name) + engine.state.count('offersOf', name) < slots[name],
      )
      for (const name of free) {
        const isBusy = engine.state.count('leasesOn', `${name}\n/${name === 'a' ? 'tree' : name}`) > 0
        if (!isBusy) expect(waiting(engine, name), `${name} has room`).toEqual([])
        expect(waiting(engine, 'global'), `${name} has room`).toEqual([])
      }
    }),
    {seed, numRuns: numRuns / 4},
  )
})

/** The tasks of a codebase that are given to nobody. */
const waiting = ({state}: MemoryEngine, codebase: string) =>
  [...state.queue(codebase)].filter(({id}) => !state.get('offer', id)).map(({id}) => id)
