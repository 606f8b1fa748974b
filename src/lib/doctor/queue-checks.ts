import {parseTime} from '../core/clock.ts'
import {counted} from '../core/text/counted.ts'
import {pendingCodebase} from '../protocol/routes.ts'
import type {Task} from '../protocol/schemas.ts'
import {ok, problem, warning, type Finding, type ControlPlaneContext} from './finding.ts'

/** A task that waits longer than this counts as stuck. */
const stuckAfterMs = 30_000

/** Reports tasks that no worker takes, grouped by the reason that the server gives, and tasks whose worker is lost. */
export async function checkQueue({client, clock}: ControlPlaneContext): Promise<Finding[]> {
  const [{tasks: pending}, {tasks: assigned}] = await Promise.all([
    client.tasks({status: 'pending', limit: 500}),
    client.tasks({status: 'assigned', limit: 500}),
  ])
  // A task that is assigned for the first time is about to begin, however long it has waited.
  const tasks = [...pending, ...assigned.filter(({returns}) => returns > 0)]
  const old = tasks.filter(({created_at}) => clock.now() - (parseTime(created_at) ?? clock.now()) > stuckAfterMs)
  const [registrations, others] = [old.filter(isRegistration), old.filter((task) => !isRegistration(task))]
  return [
    ...registrations.slice(0, 5).map((task) => stuckRegistration(task)),
    ...stuckTasks(others),
    ...(old.length === 0 ? [ok('queue', `${counted(tasks.length, 'task waits', 'tasks wait')}, none for long`)] : []),
    ...(await findLostTasks(client)),
  ]
}

const isRegistration = ({codebase_id}: Task) => codebase_id === pendingCodebase

const pathText = (value: unknown) => (typeof value === 'string' ? value : 'the path')

function stuckRegistration({id, metadata, waiting}: Task): Finding {
  const path = pathText(metadata['path'])
  return problem(
    'registration',
    `the registration of ${path} (task ${id}) is stuck in pending: ${waiting ?? 'no worker has taken it'}`,
    'Is a worker connected on a machine that has the path? Its log says “Handling registration task” when it takes the task.',
    `Can the user of the worker read the path? sudo -u a2a-worker ls -la ${path}`,
    `Is the path below the worker's registration_roots? Add it there, or register it on that machine: a2a-worker register ${path}`,
  )
}

/** One finding per reason: a hundred tasks that wait for the same worker are one problem. */
function stuckTasks(tasks: readonly Task[]): Finding[] {
  const byReason = new Map<string, Task[]>()
  for (const task of tasks) {
    const reason = task.waiting?.replaceAll(/[0-9a-f-]{36}|\d{4}-\d\d-\d\dT\S+/g, '…') ?? 'the server does not say why'
    byReason.set(reason, [...(byReason.get(reason) ?? []), task])
  }

  return [...byReason].map(([reason, stuck]) => {
    const [first] = stuck
    const text = `${counted(stuck.length, 'task is', 'tasks are')} not executed (first ${first?.id}): ${first?.waiting ?? reason}`
    const isBusy = /busy|no free slot/.test(reason)
    return isBusy ? warning('queue', text, fixFor(reason)) : problem('queue', text, fixFor(reason))
  })
}

const fixes: [pattern: RegExp, fix: string][] = [
  [
    /serves this codebase|is offline|no worker is connected/,
    'Start the worker that has the codebase: sudo systemctl start a2a-agent-worker.',
  ],
  [/no open stream/, 'The worker should poll. If it does not, see its log: journalctl -u a2a-agent-worker | grep poll'],
  [
    /busy/,
    'One task at a time runs in a working tree. Wait, or cancel the running task with `a2a-worker tasks cancel`.',
  ],
  [
    /assigned to|did not take it/,
    'The worker does not confirm that it has the task. Does it reach the control plane? Its log tells: journalctl -u a2a-agent-worker',
  ],
  [/no free slot/, 'Wait, or raise max_concurrent_tasks of the worker.'],
  [/declined/, 'Fix what the worker reports, or let another worker serve the codebase.'],
  [/capabilit/, 'Add the capabilities to "capabilities" in the configuration of a worker, and restart it.'],
]

const fixFor = (reason: string) =>
  fixes.find(([pattern]) => pattern.test(reason))?.[1] ??
  'Is the codebase registered with a worker_id? a2a-worker codebases list'

async function findLostTasks(client: ControlPlaneContext['client']): Promise<Finding[]> {
  const {tasks} = await client.tasks({status: 'running', limit: 500})
  const lost = tasks.filter(({lost_since}) => lost_since !== null)
  if (lost.length === 0) return []
  return [
    problem(
      'queue',
      `${counted(lost.length, 'running task has lost its worker', 'running tasks have lost their worker')} (first ${lost[0]?.id}, since ${lost[0]?.lost_since})`,
      'Start that worker again. It continues these tasks or returns them to the queue.',
      'If its machine is lost: a2a-worker tasks retry TASK --force',
    ),
  ]
}
