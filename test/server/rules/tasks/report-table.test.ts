import {describe, expect, test} from 'vitest'
import {HttpError} from '../../../../src/lib/server/http/http-error.ts'
import {declineTask} from '../../../../src/lib/server/rules/tasks/declines.ts'
import {recordHeartbeat} from '../../../../src/lib/server/rules/tasks/heartbeats.ts'
import {lapse} from '../../../../src/lib/server/rules/tasks/lapse.ts'
import {takeOutput} from '../../../../src/lib/server/rules/tasks/output.ts'
import {
  cancelTask,
  claimTask,
  releaseTask,
  reportStatus,
  retryTask,
} from '../../../../src/lib/server/rules/tasks/reports.ts'
import {addTask, addWorker, claiming} from '../../support/engine-world.ts'
import {MemoryEngine} from '../../support/memory-engine.ts'

/** A state of the task `t`: what brings it there. Worker `w` serves its codebase; `o` is another worker. */
const states: Record<string, (engine: MemoryEngine) => void> = {
  pending: (engine) => {
    addWorker(engine, 'w', {codebases: ['c'], features: claiming, isConnected: false})
    addTask(engine, 't', 'c')
  },
  offered: (engine) => {
    addWorker(engine, 'w', {codebases: ['c'], features: claiming})
    addTask(engine, 't', 'c')
  },
  assigned: (engine) => {
    addWorker(engine, 'w', {codebases: ['c']})
    addTask(engine, 't', 'c')
  },
  running: (engine) => {
    states['assigned']?.(engine)
    engine.run(claimTask, {task_id: 't', worker_id: 'w', attempt: 1})
  },
  cancelling: (engine) => {
    states['running']?.(engine)
    engine.run(cancelTask, {task_id: 't', by: null})
  },
  lost: (engine) => {
    states['running']?.(engine)
    engine.time += 60_001
    engine.run(lapse, undefined)
  },
  completed: (engine) => {
    states['running']?.(engine)
    report(engine, 'w', 'completed', 1)
  },
  'second attempt': (engine) => {
    states['running']?.(engine)
    report(engine, 'w', 'pending', 1)
  },
}

const report = (engine: MemoryEngine, worker_id: string, status: string, attempt: number | null) =>
  engine.run(reportStatus, {task_id: 't', worker_id, status, attempt})

const requests: Record<string, (engine: MemoryEngine) => unknown> = {
  'w claims': (engine) => engine.run(claimTask, {task_id: 't', worker_id: 'w', attempt: null}),
  'o claims': (engine) => engine.run(claimTask, {task_id: 't', worker_id: 'o', attempt: null}),
  'w confirms 1': (engine) => engine.run(claimTask, {task_id: 't', worker_id: 'w', attempt: 1}),
  'o confirms 1': (engine) => engine.run(claimTask, {task_id: 't', worker_id: 'o', attempt: 1}),
  'w declines': (engine) =>
    engine.run(declineTask, {
      task_id: 't',
      worker_id: 'w',
      reason: 'r',
      retry_ms: 5000,
      attempt: null,
      only: undefined,
    }),
  'w completes 1': (engine) => report(engine, 'w', 'completed', 1),
  'o completes 1': (engine) => report(engine, 'o', 'completed', 1),
  'w fails 1': (engine) => report(engine, 'w', 'failed', 1),
  'w returns 1': (engine) => report(engine, 'w', 'pending', 1),
  'w releases': (engine) =>
    engine.run(releaseTask, {
      task_id: 't',
      worker_id: 'w',
      status: 'pending',
      attempt: null,
      result: null,
      error: null,
    }),
  'w sends output of 1': (engine) =>
    engine.run(takeOutput, {
      ...{task_id: 't', worker_id: 'w', output: 'line\n', timestamp: null},
      ...{attempt: 1, offset: 0, length: 5},
    }),
  'w lists 1': (engine) =>
    engine.run(recordHeartbeat, {worker_id: 'w', running: [{id: 't', attempt: 1}], free: 1, paused: null}),
  'a client cancels': (engine) => engine.run(cancelTask, {task_id: 't', by: 'me'}),
  'a client retries': (engine) => engine.run(retryTask, {task_id: 't', force: false, by: 'me'}),
  'a client forces a retry': (engine) => engine.run(retryTask, {task_id: 't', force: true, by: 'me'}),
  '10 s pass': (engine) => {
    engine.time += 10_001
    engine.run(lapse, undefined)
  },
  'a minute passes': (engine) => {
    engine.time += 60_001
    engine.run(lapse, undefined)
  },
}

/** What becomes of the task: `status attempt holder`, with a mark for a requested cancellation and a lost holder. */
const expected: Record<string, Record<string, string | number>> = {
  pending: {
    'w claims': 'running 1 w',
    'o claims': 409,
    'w confirms 1': 409,
    'w declines': 'pending 1 -',
    'w completes 1': 409,
    'w fails 1': 'failed 1 -',
    'w returns 1': 'pending 1 -',
    'w releases': 404,
    'w sends output of 1': 409,
    'a client cancels': 'cancelled 1 -',
    'a client retries': 409,
  },
  offered: {
    'w claims': 'running 1 w',
    'o claims': 409,
    'w declines': 'pending 1 -',
    '10 s pass': 'pending 1 -',
    'a client cancels': 'cancelled 1 -',
  },
  assigned: {
    'w claims': 'running 1 w',
    'o claims': 409,
    'w confirms 1': 'running 1 w',
    'o confirms 1': 409,
    'w declines': 'pending 2 -',
    'w completes 1': 'completed 1 w',
    'o completes 1': 409,
    'w fails 1': 'failed 1 w',
    'w releases': 'assigned 2 w',
    'w sends output of 1': 'running 1 w',
    'w lists 1': 'running 1 w',
    'a client cancels': 'assigned 1 w cancelling',
    'a client retries': 409,
    '10 s pass': 'pending 2 -',
  },
  running: {
    'w claims': 'running 1 w',
    'o claims': 409,
    'w confirms 1': 'running 1 w',
    'w declines': 'running 1 w',
    'w completes 1': 'completed 1 w',
    'o completes 1': 409,
    'w returns 1': 'assigned 2 w',
    'w releases': 'assigned 2 w',
    'w sends output of 1': 'running 1 w',
    'w lists 1': 'running 1 w',
    'a client cancels': 'running 1 w cancelling',
    'a client retries': 409,
    'a client forces a retry': 409,
    '10 s pass': 'running 1 w',
    'a minute passes': 'running 1 w lost',
  },
  cancelling: {
    'w completes 1': 'completed 1 w cancelling',
    'w returns 1': 'cancelled 1 w cancelling',
    'a minute passes': 'cancelled 1 w cancelling',
    'a client cancels': 'running 1 w cancelling',
  },
  lost: {
    'w lists 1': 'running 1 w',
    'w completes 1': 'completed 1 w',
    'w sends output of 1': 'running 1 w',
    'a client cancels': 'cancelled 1 w',
    'a client retries': 409,
    'a client forces a retry': 'assigned 2 w',
  },
  completed: {
    'w claims': 409,
    'w confirms 1': 409,
    'w completes 1': 'completed 1 w',
    'w fails 1': 409,
    'w returns 1': 409,
    'o completes 1': 409,
    'w sends output of 1': 409,
    'a client cancels': 409,
    'a client retries': 'assigned 2 w',
  },
  'second attempt': {
    'w confirms 1': 409,
    'w completes 1': 409,
    'w sends output of 1': 409,
    'w claims': 'running 2 w',
    'w lists 1': 'assigned 2 w',
  },
}

describe.each(Object.entries(expected))('a task that is %s', (state, row) => {
  test.each(Object.entries(row))('%s → %s', (request, result) => {
    const engine = new MemoryEngine()
    addWorker(engine, 'o', {codebases: ['other']})
    states[state]?.(engine)
    const before = structuredClone(engine.tasks)
    try {
      requests[request]?.(engine)
    } catch (error) {
      if (!(error instanceof HttpError)) throw error
      expect(error.status).toBe(result)
      expect(engine.tasks).toEqual(before)
      return
    }

    const {status, attempt, worker_id, cancel_requested_at, lost_since} = engine.task('t')
    const marks = `${cancel_requested_at === null ? '' : ' cancelling'}${lost_since === null ? '' : ' lost'}`
    expect(`${status} ${attempt} ${worker_id ?? '-'}${marks}`).toBe(result)
  })
})

test('attempts that were never confirmed count as returns, others do not', () => {
  const engine = new MemoryEngine()
  addWorker(engine, 'w', {codebases: ['c']})
  addTask(engine, 't', 'c')
  for (let i = 0; i < 3; i++) {
    engine.time += 120_000 // also beyond the pause after a miss
    engine.run(recordHeartbeat, {worker_id: 'w', running: [], free: 2, paused: null})
    while (engine.run(lapse, undefined));
  }

  const {attempt, returns} = engine.task('t')
  expect(attempt).toBeGreaterThan(2)
  expect(attempt - returns).toBe(1)
})

test('a lapsed assignment goes to another worker at once, and to the same one after a pause', () => {
  const engine = new MemoryEngine()
  addWorker(engine, 'a')
  addWorker(engine, 'b')
  addTask(engine, 't', 'global')
  const first = engine.task('t').worker_id
  engine.time += 10_001
  engine.run(lapse, undefined)
  const {worker_id: second, attempt} = engine.task('t')
  expect(new Set([first, second])).toEqual(new Set(['a', 'b']))
  expect(attempt).toBe(2)
})
