import {HttpError} from '../../http/http-error.ts'
import {agentPrefix, defaultProgram, programOf} from '../../../protocol/agent-program.ts'
import {globalCodebase} from '../../../protocol/routes.ts'
import {all} from '../../state/records.ts'
import type {State} from '../../state/state.ts'
import {profileOf} from '../dispatch/roster.ts'

/** Refuses a task for an agent that no worker has that could run it. Without any worker it waits. */
export function checkAgent(
  state: State,
  {codebase_id, metadata}: {codebase_id: string; metadata: Record<string, unknown>},
): void {
  const agent = programOf(metadata)
  if (agent === undefined) return
  const workers = workersFor(state, codebase_id)
  const agents = workers.map((id) => agentsOf(state, id))
  if (workers.length === 0 || agents.some((names) => names.includes(agent))) return
  const known = [defaultProgram, ...new Set(agents.flat())].join(', ')
  const who = codebase_id === globalCodebase ? 'No worker has' : 'The worker of this codebase does not have'
  throw new HttpError(400, `${who} the agent ${agent}; there are ${known}`)
}

/** The workers that may run tasks of a codebase. */
function workersFor(state: State, codebaseId: string): string[] {
  if (codebaseId === globalCodebase)
    return [...state.find('workers', all)]
      .filter((worker) => worker.unregistered_at === null)
      .map((worker) => worker.worker_id)
  const owner = state.get('codebase', codebaseId)?.worker_id
  return owner ? [owner] : []
}

/** The names of the agents of a worker besides the common one. */
export const agentsOf = (state: State, workerId: string): string[] =>
  profileOf(state, workerId)
    .capabilities.filter((name) => name.startsWith(agentPrefix))
    .map((name) => name.slice(agentPrefix.length))
