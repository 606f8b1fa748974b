import type {Clock} from '../core/clock.ts'
import type {EventBus} from '../events/bus.ts'

/** An active task and its session. */
export type RunningTask = {id: string; codebase: string; phase: string; sessionId: string | null}

export type FollowOptions = {
  signal: AbortSignal
  clock: Clock
  bus: EventBus
  active: () => readonly RunningTask[]
  intervalMs: number
  /** How long the last syncs may take once `signal` is aborted. */
  lastSyncMs: number
  /** Syncs a session as it is now. */
  syncSession: (session: FollowedSession, signal: AbortSignal) => Promise<void>
  onFailure: (error: unknown) => void
}

export type FollowedSession = {
  id: string
  /** The working directory of its task. */
  directory: string
  /** The state of the storage at the last sync; set by `syncSession`. */
  stamp: string
  /** Its task has ended, so this is the last sync. */
  isOver: boolean
  failures: number
  notBefore: number
}
type Followed = Map<string, FollowedSession>

/** Pause after a failure. After too many failures an ended task's session is left to the sync of all sessions. */
const retryMs = 5000
const maxFailures = 5

/** Syncs the session of each active task: at once, then in intervals, and once more when the task has ended. */
export async function followSessions(options: FollowOptions): Promise<void> {
  const {signal, clock, bus, intervalMs, lastSyncMs} = options
  const followed = new Map<string, FollowedSession>()
  let wake = () => {}
  using _listening = bus.on(({type}) => {
    if (type !== 'task.session' && type !== 'task.finished') return
    updateFollowed(followed, options)
    wake()
  })
  signal.addEventListener('abort', () => wake(), {once: true})
  while (!signal.aborted) {
    const {promise: woken, resolve} = Promise.withResolvers<void>()
    wake = resolve
    updateFollowed(followed, options)
    await syncAll(followed, options, signal)
    const pause = new AbortController()
    if (followed.size > 0) void clock.sleep(intervalMs, pause.signal).then(resolve)
    if (!signal.aborted) await woken
    pause.abort()
  }

  updateFollowed(followed, options)
  for (const session of followed.values()) Object.assign(session, {isOver: true, notBefore: 0})
  await syncAll(followed, options, AbortSignal.timeout(lastSyncMs))
}

/** Updates which sessions are followed, and which of them for the last time. */
function updateFollowed(followed: Followed, {active}: FollowOptions): void {
  const running = active().filter(({phase}) => phase !== 'reporting')
  for (const [id, session] of followed) session.isOver = !running.some((task) => task.id === id)
  for (const {id, codebase, sessionId} of running) {
    if (sessionId === null || followed.get(id)?.id === sessionId) continue
    followed.set(id, {id: sessionId, directory: codebase, stamp: '', isOver: false, failures: 0, notBefore: 0})
  }
}

async function syncAll(
  followed: Followed,
  {clock, syncSession, onFailure}: FollowOptions,
  signal: AbortSignal,
): Promise<void> {
  for (const [id, session] of followed) {
    const {isOver} = session
    if (clock.monotonic() < session.notBefore) continue
    try {
      await syncSession(session, signal)
      if (isOver) followed.delete(id)
    } catch (error) {
      if (signal.aborted) continue
      onFailure(error)
      session.failures += 1
      session.notBefore = clock.monotonic() + retryMs
      if (isOver && session.failures >= maxFailures) followed.delete(id)
    }
  }
}
