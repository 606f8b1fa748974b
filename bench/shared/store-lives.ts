// Lives of tasks through one replica of the store, without HTTP: created and assigned, confirmed, one output of 1 kB,
// finished. Usage: store-lives.ts URL PREFIX NAME LIVES IN_FLIGHT     prints the ms that it took.
import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {RedisStore} from '../../src/lib/server/redis/redis-store.ts'
import {connect} from '../../src/lib/server/rules/registry/connections.ts'
import {registerCodebase} from '../../src/lib/server/rules/registry/register-codebase.ts'
import {registerWorker} from '../../src/lib/server/rules/registry/register-worker.ts'
import {createTask} from '../../src/lib/server/rules/tasks/create-task.ts'
import {takeOutput} from '../../src/lib/server/rules/tasks/output.ts'
import {claimTask, reportStatus} from '../../src/lib/server/rules/tasks/reports.ts'
import {decide, type Rule} from '../../src/lib/server/state/draft.ts'
import {workerFeatures} from '../../src/lib/protocol/features.ts'

const [, , url = '', prefix = '', name = '', lives = '1000', inFlight = '64'] = process.argv
const folder = mkdtempSync(join(tmpdir(), 'a2a-bench-store-'))
const fail = (reason: unknown) => {
  throw new Error(String(reason))
}
const policy = {
  ...{leaseMs: 60_000, offerMs: 10_000, confirmMs: 10_000, silentWorkerMs: 900_000, lostTimeoutMs: 86_400_000},
  ...{unstoppableMs: 30_000, maxPending: 100_000, parallelTasks: new Map<string, number>()},
}
const store = await RedisStore.open({url, prefix, folder, version: 'bench', log: () => {}, onDiverged: fail})
const history = {save: () => '', restore: () => {}, add: () => {}}
const engine = await store.start(policy, {onBug: fail, history})
const run = <Request, Answer>(rule: Rule<Request, Answer>, request: Request): Promise<Answer> =>
  engine.execute(() => decide(engine.state, rule, request))

const codebases: {id: string; worker: string}[] = []
for (let i = 0; i < 16; i++) {
  const worker = `${name}-w${i}`
  const about = {name: worker, capabilities: [], hostname: null, models: [], global_codebase_id: null, version: null}
  const limits = {max_concurrent_tasks: 4, features: [...workerFeatures], machine_id: null}
  await run(registerWorker, {
    worker: {worker_id: worker, ...about, ...limits},
    identity: undefined,
    address: undefined,
    by: null,
  })
  for (let n = 0; n < 4; n++) {
    const id = `${worker}-c${n}`
    const codebase = {name: id, path: `/${id}`, description: '', agent_config: {}, tree: null}
    await run(registerCodebase, {worker_id: worker, codebase, ids: [id], identity: undefined, by: null})
    codebases.push({id, worker})
  }
  const stream = {
    connectionId: worker,
    capabilities: [],
    codebases: [],
    agentName: worker,
    instance: null,
    hostname: null,
  }
  await run(connect, {workerId: worker, ...stream, connectedAt: '', replica: name})
}

const text = 'x'.repeat(1000)
let left = Number(lives)
async function live(lane: number): Promise<void> {
  const {id: codebase_id, worker: worker_id} = codebases[lane % codebases.length] ?? {id: '', worker: ''}
  for (; left > 0;) {
    const n = (left -= 1)
    const task_id = `${name}-${n}`
    const input = {codebase_id, title: task_id, prompt: text, agent_type: 'build', metadata: {}}
    const {attempt} = await run(createTask, {input, id: task_id, key: undefined, client: '', by: null})
    await run(claimTask, {task_id, worker_id, attempt})
    await run(takeOutput, {task_id, worker_id, output: text, timestamp: null, attempt, offset: 0, length: 1000})
    await run(reportStatus, {task_id, worker_id, status: 'completed', attempt, result: text})
  }
}

const lanes = Array.from({length: Math.min(Number(inFlight), codebases.length)}, (_, lane) => lane)
process.send?.('ready')
await new Promise((resolve) => process.once('message', resolve))
const begun = performance.now()
await Promise.all(lanes.map(live))
process.send?.(performance.now() - begun)
await store[Symbol.asyncDispose]()
rmSync(folder, {recursive: true, force: true})
process.disconnect?.()
