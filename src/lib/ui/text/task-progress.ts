import type {ControlPlaneClient} from '../../client/control-plane.ts'
import {agentStateText} from '../../protocol/agent-state.ts'
import {isFinal, type Task} from '../../protocol/schemas.ts'
import type {Progress, StatusLine} from './status-line.ts'

/**
 * Shows on a status line what happens with a task. Returns the function to call with each news about the task.
 * `pending`: what a task waits for that is not taken yet, if the caller knows better than the control plane.
 */
export function taskProgress(
  line: StatusLine,
  client: ControlPlaneClient,
  pending: () => string | undefined = () => undefined,
): (task: Task) => void {
  const names = new Map<string, string | undefined>()
  return function show(task) {
    const {worker_id: id, status} = task
    if (isFinal(status)) return
    if (status === 'running' && id !== null && !names.has(id)) {
      // The name is asked for once. Until it is known, the former line stays.
      names.set(id, undefined)
      void nameOf(client, id).then((name) => {
        names.set(id, name)
        show(task)
      })
      return
    }
    const name = id === null ? 'a worker' : names.get(id)
    if (status === 'running' && name === undefined) return
    const progress =
      status === 'running' ? {by: `taken by ${name}`, ...runningText(task)} : pendingText(task, pending())
    if (progress) line.show(progress)
  }
}

async function nameOf(client: ControlPlaneClient, workerId: string): Promise<string> {
  const workers = await client.workers().catch(() => [])
  return workers.find(({worker_id: id}) => id === workerId)?.name ?? workerId
}

/** An offer lasts for a moment only, so it is not shown. An assignment may wait for its confirmation for seconds. */
function pendingText({status, waiting}: Task, known: string | undefined): Progress | undefined {
  if (status === 'assigned') return {text: waiting ?? 'assigned to a worker'}
  if (known !== undefined) return {text: known}
  if (waiting?.startsWith('offered')) return undefined
  return {text: waiting === null ? 'waiting for a worker' : `waiting: ${waiting}`}
}

/** A server without agent states still tells whether the agent has its session. That comes with its first event. */
function runningText({cancel_requested_at: cancelled, lost_since: lost, waiting, agent_state: state, ...task}: Task) {
  if (cancelled !== null) return {text: 'being cancelled'}
  if (lost !== null) return {text: 'the worker is lost'}
  if (waiting !== null) return {text: waiting}
  if (state) return {text: agentStateText(state), forMs: state.for_ms}
  return {text: task.session_id === null ? 'OpenCode is starting' : 'the agent works'}
}
