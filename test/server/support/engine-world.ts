import type {Rule} from '../../../src/lib/server/state/draft.ts'
import type {State} from '../../../src/lib/server/state/state.ts'
import {connect} from '../../../src/lib/server/rules/registry/connections.ts'
import {registerCodebase} from '../../../src/lib/server/rules/registry/register-codebase.ts'
import {registerWorker} from '../../../src/lib/server/rules/registry/register-worker.ts'
import {createTask, type TaskInput} from '../../../src/lib/server/rules/tasks/create-task.ts'

/** An engine with the rules, as a control plane runs them. Calls are decided in their order. */
export type Runner = {
  readonly state: State
  run<Request, Answer>(rule: Rule<Request, Answer>, request: Request): Answer | Promise<Answer>
}

export const assigning = ['lease', 'decline', 'fetch', 'assign'] as const
/** Our worker before assignments, and the existing worker. */
export const claiming = ['lease', 'decline', 'fetch'] as const
export const existing = [] as const

type WorkerOptions = {
  features?: readonly string[]
  capabilities?: readonly string[]
  slots?: number
  codebases?: readonly string[]
  isConnected?: boolean
}

/** Registers a worker with codebases, named as their paths, and opens its stream. */
export function addWorker(
  engine: Runner,
  workerId: string,
  {features = assigning, capabilities = [], slots = 2, codebases = [], isConnected = true}: WorkerOptions = {},
): void {
  const worker = {
    ...{
      worker_id: workerId,
      name: workerId,
      capabilities: [...capabilities],
      hostname: null,
      models: [],
      global_codebase_id: 'g',
    },
    ...{version: null, max_concurrent_tasks: slots, features: [...features], machine_id: null},
  }
  void engine.run(registerWorker, {worker, identity: undefined, address: undefined, by: null})
  for (const path of codebases) addCodebase(engine, workerId, path)
  if (isConnected) open(engine, workerId, capabilities)
}

export function addCodebase(engine: Runner, workerId: string, id: string, tree: string | null = null): void {
  const codebase = {name: id, path: `/${id}`, description: '', agent_config: {}, tree}
  void engine.run(registerCodebase, {worker_id: workerId, codebase, ids: [id], identity: undefined, by: null})
}

let connections = 0
export function open(engine: Runner, workerId: string, capabilities: readonly string[] = []): string {
  const connectionId = `connection-${(connections += 1)}`
  const about = {agentName: workerId, instance: null, hostname: null, connectedAt: '', replica: ''}
  void engine.run(connect, {workerId, connectionId, capabilities, codebases: [], ...about})
  return connectionId
}

/** Creates a task with this id. */
export function addTask(engine: Runner, id: string, codebaseId: string, more: Partial<TaskInput> = {}) {
  const input = {codebase_id: codebaseId, title: id, prompt: 'p', agent_type: 'build', metadata: {}, ...more}
  return engine.run(createTask, {input, id, key: undefined, client: '', by: null})
}
