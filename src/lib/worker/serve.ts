import {aborted} from '../core/operation.ts'
import {lookUp} from './run/held-task.ts'
import type {Registration} from './registration/registration.ts'
import type {ActiveTask} from './run/see-run.ts'
import type {TaskRunner} from './run/task-runner.ts'
import type {RunningWorker, WorkerOptions} from './worker-options.ts'

/** How long reports may take once everything has ended and somebody waits for us to leave. */
const goodbyeMs = 20_000
const rereadMs = 10_000
/** When the agent's models are asked for, and how often it is looked whether they may have changed. */
const firstModelsMs = 3000
const modelsMs = 60_000
/** How often a task that is just being started is looked at again when the worker is to leave at once. */
const mostLooks = 20

type Parts = Pick<RunningWorker, 'registration' | 'intake' | 'runner' | 'lifecycle' | 'sessions' | 'queue' | 'disk'>

/**
 * Takes tasks until drained, then waits for those in hand, or ends them. What it resolves with settles when streams and
 * loops have closed, for which the goodbye need not wait.
 */
export async function serve(options: WorkerOptions, parts: Parts): Promise<{closed: Promise<unknown>}> {
  const {registration, intake, runner, lifecycle, sessions, queue, disk} = parts
  const {config, clock, signals, bus} = options
  const background = new AbortController()
  const leave = new AbortController()
  const stopTaking = AbortSignal.any([signals.drain, leave.signal])
  const work = Promise.all([
    // Heartbeats go on while tasks drain: their leases are kept until the end.
    registration.keep(background.signal),
    intake.run(background.signal),
    sessions?.run(background.signal),
    rereadHeld(options, runner, background.signal),
    announceModels(options, registration, background.signal),
    queue.run(background.signal),
    disk.run(background.signal),
  ])
  if (options.once || options.exitAfterIdleMs > 0) void leaveWhenIdle(options, runner, leave, background.signal)
  await Promise.race([aborted(stopTaking), work])
  lifecycle.to('draining')
  runner.drain()
  const limit = new AbortController()
  const drainMs = config.drain_timeout * 1000
  const shutDown = () => runner.stopAll({status: 'failed', error: 'Worker shut down while the task ran'})
  signals.cancel.addEventListener('abort', shutDown, {once: true})
  if (signals.cancel.aborted) shutDown()
  if (drainMs > 0)
    void clock.sleep(drainMs, limit.signal).then(() => {
      if (limit.signal.aborted) return
      signals.endDrain()
      const what = signals.detach.aborted ? 'leaving them to go on' : 'ending them'
      bus.emit({
        type: 'notice',
        level: 'warn',
        text: `Tasks still run after ${config.drain_timeout} s (drain_timeout); ${what}`,
      })
    })
  await whileTasksRun(runner, signals.detach)
  limit.abort()
  background.abort()
  // Whoever is to leave at once does not wait for what is being asked of the agent just now.
  return {closed: Promise.race([work, aborted(signals.detach)])}
}

/**
 * Resolves when nothing runs; what remains are reports. Detached, it waits only for tasks that have been claimed and
 * have no agent yet, and for them not long: the next process would find nothing to take over.
 */
async function whileTasksRun(runner: TaskRunner, detach: AbortSignal): Promise<void> {
  const mayWait = (phase: ActiveTask['phase']) =>
    detach.aborted ? phase === 'claiming' || phase === 'starting' : phase !== 'reporting'
  let looks = 0
  while (looks < mostLooks && runner.active.some(({phase}) => mayWait(phase))) {
    await Promise.race([...runner.active.map(({done}) => done), new Promise((resolve) => setTimeout(resolve, 50))])
    if (detach.aborted) looks += 1
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
    if (runner.active.length > 0) idleSince = clock.monotonic()
    else if ((once && runner.taken > 0) || (exitAfterIdleMs > 0 && clock.monotonic() - idleSince >= exitAfterIdleMs))
      leave.abort()
  }
}

/**
 * Reports get a while; then the worker says that it is gone, on a signal of its own, so that nothing swallows it. One
 * that is to leave at once does neither: its next process has the reports, and the agents that go on, in its journal.
 */
export async function goodbye(
  {client, clock, workerId, bus, signals: {detach}}: WorkerOptions,
  runner: TaskRunner,
  giveUp: AbortController,
): Promise<void> {
  const done = new AbortController()
  const late = clock.sleep(goodbyeMs, done.signal).then(() => {
    if (done.signal.aborted) return
    bus.emit({
      type: 'notice',
      level: 'warn',
      text: 'The server does not take the last reports; they are kept and sent at the next start',
    })
    giveUp.abort()
  })
  await Promise.race([runner.idle(), aborted(detach)])
  done.abort()
  await late
  if (detach.aborted) bus.emit({type: 'notice', level: 'info', text: leftBehind(runner.active.length)})
  else await client.unregister(workerId, AbortSignal.timeout(3000)).catch(() => {})
  giveUp.abort()
}

const leftBehind = (tasks: number) =>
  tasks === 0
    ? 'Leaving at once; no task was in hand'
    : `Leaving ${tasks} task${tasks === 1 ? '' : 's'} to the next start`

/** Not every server pushes a cancellation, and a push may be lost: what runs is looked up now and then. */
async function rereadHeld(options: WorkerOptions, runner: TaskRunner, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await options.clock.sleep(rereadMs, signal)
    for (const {id} of signal.aborted ? [] : runner.active) await lookUp(id, options, runner, signal)
  }
}

/** In the background: to ask the agent takes it seconds, in which tasks are taken already. */
async function announceModels(
  {models, clock}: WorkerOptions,
  registration: Registration,
  signal: AbortSignal,
): Promise<void> {
  if (!models) return
  await clock.sleep(firstModelsMs, signal)
  while (!signal.aborted) {
    registration.setModels(await models.get())
    await clock.sleep(modelsMs, signal)
  }
}
