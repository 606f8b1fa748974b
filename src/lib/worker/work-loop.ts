import {counted} from '../core/text/counted.ts'
import {aborted} from '../core/request-signal.ts'
import type {Registration} from './registration/registration.ts'
import type {ActiveTask} from './run/active-task.ts'
import {stopIfNotOurs} from './run/cancellation.ts'
import type {TaskRunner} from './run/task-runner.ts'
import type {WorkerComponents} from './running-worker.ts'
import type {WorkerOptions} from './worker-options.ts'

/** How long the last reports may take when the worker is shutting down. */
const lastReportsMs = 20_000
const recheckMs = 10_000
/** When the agent's models are read first, and how often afterwards. */
const firstModelsMs = 3000
const modelsMs = 60_000
/** On SIGQUIT: how often a task that is just starting is checked before the worker exits without it. */
const maxChecks = 20

type LoopComponents = Pick<
  WorkerComponents,
  | 'registration'
  | 'intake'
  | 'runner'
  | 'conversations'
  | 'lifecycle'
  | 'sessions'
  | 'queue'
  | 'disk'
  | 'health'
  | 'providers'
>

/**
 * Takes tasks until drained, then waits for the active ones, or stops them. `closed` settles when streams and loops
 * have closed. Shutting down need not wait for it.
 */
export async function runWorkLoop(
  options: WorkerOptions,
  components: LoopComponents,
): Promise<{closed: Promise<unknown>}> {
  const {runner, lifecycle} = components
  const {signals} = options
  const background = new AbortController()
  const leave = new AbortController()
  const stopTaking = AbortSignal.any([signals.drain, leave.signal])
  const loops = startLoops(options, components, background.signal)
  // With one slot. The next task would otherwise be taken before this worker has left.
  if (options.once) options.bus.on(({type}) => type === 'task.claimed' && runner.drain())
  if (options.once || options.exitAfterIdleMs > 0) void leaveWhenIdle(options, runner, leave, background.signal)
  await Promise.race([aborted(stopTaking), loops])
  lifecycle.to('draining')
  runner.drain()
  const endTimeout = startDrainTimeout(options)
  const stopTasks = () => runner.stopAll({status: 'failed', error: 'Worker shut down while the task ran'})
  signals.cancel.addEventListener('abort', stopTasks, {once: true})
  if (signals.cancel.aborted) stopTasks()
  await untilTasksEnd(runner, signals.detach)
  endTimeout()
  background.abort()
  // On SIGQUIT, do not wait for a command of the agent that is still running.
  return {closed: Promise.race([loops, aborted(signals.detach)])}
}

/** Everything that runs beside the tasks. Heartbeats go on while tasks drain, so that their leases are kept. */
function startLoops(options: WorkerOptions, components: LoopComponents, signal: AbortSignal): Promise<unknown> {
  const {registration, intake, runner, conversations, sessions, queue, disk, health, providers} = components
  return Promise.all([
    registration.runHeartbeats(signal),
    intake.run(signal),
    conversations.run(signal),
    sessions?.run(signal),
    recheckActiveTasks(options, runner, signal),
    registerModels(options, registration, signal),
    queue.run(signal),
    disk.run(signal),
    health.run(signal),
    providers.run(signal),
  ])
}

/** Ends the drain after `drain_timeout`. Returns the function that stops the timeout. */
function startDrainTimeout({config, clock, signals, bus}: WorkerOptions): () => void {
  const stop = new AbortController()
  const seconds = config.drain_timeout
  if (seconds > 0)
    void clock.sleep(seconds * 1000, stop.signal).then(() => {
      if (stop.signal.aborted) return
      signals.endDrain()
      const consequence = signals.detach.aborted ? 'leaving them running' : 'ending them'
      const text = `Tasks still run after ${seconds} s (drain_timeout); ${consequence}`
      bus.emit({type: 'notice', level: 'warn', text})
    })
  return () => stop.abort()
}

/**
 * Resolves when no task runs any more; reports may remain. After SIGQUIT it waits only for claimed tasks whose agent has
 * not started, and only briefly. The next process would find nothing to adopt for those.
 */
async function untilTasksEnd(runner: TaskRunner, detach: AbortSignal): Promise<void> {
  const mustWaitFor = (phase: ActiveTask['phase']) =>
    detach.aborted ? phase === 'claiming' || phase === 'starting' : phase !== 'reporting'
  let checks = 0
  while (checks < maxChecks && runner.active.some(({phase}) => mustWaitFor(phase))) {
    await Promise.race([...runner.active.map(({done}) => done), new Promise((resolve) => setTimeout(resolve, 50))])
    if (detach.aborted) checks += 1
  }
}

async function leaveWhenIdle(
  {once, exitAfterIdleMs, clock}: WorkerOptions,
  runner: TaskRunner,
  leave: AbortController,
  signal: AbortSignal,
) {
  let idleSince = clock.monotonic()
  while (!signal.aborted && !leave.signal.aborted) {
    await clock.sleep(50, signal)
    const isIdleTooLong = () => exitAfterIdleMs > 0 && clock.monotonic() - idleSince >= exitAfterIdleMs
    if (runner.active.length > 0) idleSince = clock.monotonic()
    else if ((once && runner.takenCount > 0) || isIdleTooLong()) leave.abort()
  }
}

/**
 * Waits for the last reports and unregisters, on a signal of its own so that nothing cancels it. After SIGQUIT it does
 * neither: the next process finds the reports and the live agents in the journal.
 */
export async function shutDown(options: WorkerOptions, runner: TaskRunner, giveUp: AbortController): Promise<void> {
  const {client, clock, workerId, bus} = options
  const {detach} = options.signals
  const done = new AbortController()
  const late = clock.sleep(lastReportsMs, done.signal).then(() => {
    if (done.signal.aborted) return
    const text = 'The control plane does not accept the last reports. They are stored and sent at the next start.'
    bus.emit({type: 'notice', level: 'warn', text})
    giveUp.abort()
  })
  await Promise.race([runner.idle(), aborted(detach)])
  done.abort()
  await late
  if (detach.aborted) bus.emit({type: 'notice', level: 'info', text: detachText(runner.active.length)})
  else await client.unregister(workerId, AbortSignal.timeout(3000)).catch(() => {})
  giveUp.abort()
}

const detachText = (tasks: number) =>
  tasks === 0 ? 'Leaving at once; no task is active' : `Leaving ${counted(tasks, 'task')} to the next start`

/** Reads active tasks from the control plane now and then. Not every server pushes cancellations, and a push may be lost. */
async function recheckActiveTasks(
  {client, workerId, clock}: WorkerOptions,
  runner: TaskRunner,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(recheckMs, signal)
    for (const {id} of signal.aborted ? [] : runner.active) await stopIfNotOurs(id, {client, workerId, runner}, signal)
  }
}

/** Reads the agent's models in the background: that takes seconds, and tasks can be taken meanwhile. */
async function registerModels(
  {models, clock, bus}: WorkerOptions,
  registration: Registration,
  signal: AbortSignal,
): Promise<void> {
  if (!models) return
  await clock.sleep(firstModelsMs, signal)
  while (!signal.aborted) {
    const found = await models.get()
    const problem = models.problem?.()
    if (registration.setModels(found, problem ?? null)) {
      if (problem !== undefined) bus.emit({type: 'notice', level: 'info', text: `No models are announced: ${problem}`})
      await registration.registerNow(signal)
    }
    await clock.sleep(modelsMs, signal)
  }
}
