import type {Environment} from '../config/file.ts'
import {counted} from '../core/text/counted.ts'
import type {EventBus} from '../events/bus.ts'
import type {Connection, Phase, WorkerEvent} from '../events/worker-event.ts'
import {Notifier, systemdNotify} from './notify.ts'

/**
 * Whether a service manager started this process and waits for its notifications. (`INVOCATION_ID` does not show that:
 * a program started in a desktop terminal inherits the terminal's.)
 */
export const isNotifyService = (env: Environment): boolean => Boolean(env['NOTIFY_SOCKET'])

export type ManagerOptions = {
  env: Environment
  /** Pid of this process. The watchdog may be meant for another one. */
  pid: number
  /** Full path of systemd-notify. */
  program?: string | undefined
}

/** Each keepalive during the start extends the start timeout by this time. */
const startExtensionMs = 60_000
/** Interval of keepalives without a watchdog. */
const keepAliveMs = 20_000

/**
 * Notifies the service manager of readiness, stopping and a status line, and regularly sends a watchdog keepalive that
 * proves that the event loop runs. Does nothing without a service manager.
 */
export function reportToManager(bus: EventBus, {env, pid, program = systemdNotify()}: ManagerOptions): AsyncDisposable {
  const socket = env['NOTIFY_SOCKET']
  if (!socket) return {[Symbol.asyncDispose]: async () => {}}
  const fail = (reason: string) =>
    bus.emit({type: 'notice', level: 'error', text: `Cannot notify systemd of the worker's state: ${reason}`})
  if (program === undefined) {
    fail('systemd-notify is missing')
    return {[Symbol.asyncDispose]: async () => {}}
  }

  const notifier = new Notifier({socket, program, onFailure: fail})
  const view: ServiceView = {phase: 'idle', link: undefined, tasks: new Set()}
  const subscription = bus.on((event) => {
    const before = statusText(view)
    applyEvent(view, event)
    const values = {
      ...(event.type === 'phase.changed' ? phaseSignals(event.to) : {}),
      ...(statusText(view) === before ? {} : {STATUS: statusText(view)}),
    }
    if (Object.keys(values).length > 0) notifier.notify(values)
  })
  const watchdogMs = watchdogInterval(env, pid)
  // setImmediate also waits for pending I/O callbacks, so a keepalive proves that the whole loop runs.
  const timer = setInterval(
    () => setImmediate(() => notifier.notify(keepAlive(view.phase, watchdogMs !== undefined))),
    watchdogMs === undefined ? keepAliveMs : watchdogMs / 3,
  )
  timer.unref()
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      subscription[Symbol.dispose]()
      await notifier[Symbol.asyncDispose]()
    },
  }
}

/** The watchdog interval in ms. Undefined if this process has no watchdog. */
function watchdogInterval(env: Environment, pid: number): number | undefined {
  const ms = Number(env['WATCHDOG_USEC'] ?? 0) / 1000
  const isOurs = env['WATCHDOG_PID'] === undefined || env['WATCHDOG_PID'] === String(pid)
  return ms > 0 && isOurs ? ms : undefined
}

/** Extends the start timeout too, because an unreachable server may delay the start for any time. */
const keepAlive = (phase: Phase, hasWatchdog: boolean) => ({
  ...(hasWatchdog ? {WATCHDOG: '1'} : {}),
  ...(phase === 'idle' || phase === 'starting' ? {EXTEND_TIMEOUT_USEC: String(startExtensionMs * 1000)} : {}),
})

const phaseSignals = (phase: Phase): Record<string, string> => {
  if (phase === 'running') return {READY: '1'}
  return phase === 'draining' || phase === 'stopping' ? {STOPPING: '1'} : {}
}

type ServiceView = {phase: Phase; link: Connection | undefined; tasks: Set<string>}

function applyEvent(view: ServiceView, event: WorkerEvent): void {
  if (event.type === 'phase.changed') view.phase = event.to
  else if (event.type === 'link.changed') view.link = event.link
  else if (event.type === 'task.started') view.tasks.add(event.taskId)
  else if (event.type === 'task.finished') view.tasks.delete(event.taskId)
}

const links: Record<Connection, string> = {
  stream: 'connected by stream',
  broker: 'polls when the broker announces tasks',
  poll: 'polls for tasks',
  down: 'cannot reach the server',
}

function statusText({phase, link, tasks}: ServiceView): string {
  const running = counted(tasks.size, 'task runs', 'tasks run')
  if (phase === 'starting') return 'Starting: registering with the server'
  if (phase === 'running') return link === undefined ? running : `${running}; ${links[link]}`
  return phase === 'draining' ? `Draining: ${running}` : `Worker is ${phase}`
}
