import type {Clock} from '../core/clock.ts'
import type {EventBus} from '../events/bus.ts'

/** A task in hand, as far as its session is concerned. */
export type RunningTask = {id: string; codebase: string; phase: string; sessionId: string | null}

export type FollowOptions = {
  signal: AbortSignal
  clock: Clock
  bus: EventBus
  active: () => readonly RunningTask[]
  intervalMs: number
  /** What is left to do once `signal` is aborted may take so long. */
  goodbyeMs: number
  /** Syncs a session as it is now. */
  look: (session: FollowedSession, signal: AbortSignal) => Promise<void>
  onFailure: (error: unknown) => void
}

export type FollowedSession = {
  id: string
  /** Where its task runs. */
  directory: string
  /** The storage as it was when the session was synced; for `look` to keep. */
  stamp: string
  /** Its task has ended: this is the last look at it. */
  isOver: boolean
  failures: number
  notBefore: number
}
type Followed = Map<string, FollowedSession>

/** After a failure a session rests; after so many, once its task has ended, its turn is that of all others. */
const restMs = 5000
const mostFailures = 5

/** Looks at the session of each task that runs: at once, then now and again, and once more when the task has ended. */
export async function followSessions(options: FollowOptions): Promise<void> {
  const {signal, clock, bus, intervalMs, goodbyeMs} = options
  const followed = new Map<string, FollowedSession>()
  let wake = () => {}
  using _listening = bus.on(({type}) => {
    if (type !== 'task.session' && type !== 'task.finished') return
    mark(followed, options)
    wake()
  })
  signal.addEventListener('abort', () => wake(), {once: true})
  while (!signal.aborted) {
    const {promise: woken, resolve} = Promise.withResolvers<void>()
    wake = resolve
    mark(followed, options)
    await lookAtAll(followed, options, signal)
    const rest = new AbortController()
    if (followed.size > 0) void clock.sleep(intervalMs, rest.signal).then(resolve)
    if (!signal.aborted) await woken
    rest.abort()
  }

  mark(followed, options)
  for (const one of followed.values()) Object.assign(one, {isOver: true, notBefore: 0})
  await lookAtAll(followed, options, AbortSignal.timeout(goodbyeMs))
}

/** Which sessions there are to look at, and which for the last time; by task. */
function mark(followed: Followed, {active}: FollowOptions): void {
  const running = active().filter(({phase}) => phase !== 'reporting')
  for (const [id, one] of followed) one.isOver = !running.some((task) => task.id === id)
  for (const {id, codebase, sessionId} of running) {
    if (sessionId === null || followed.get(id)?.id === sessionId) continue
    followed.set(id, {id: sessionId, directory: codebase, stamp: '', isOver: false, failures: 0, notBefore: 0})
  }
}

async function lookAtAll(
  followed: Followed,
  {clock, look, onFailure}: FollowOptions,
  signal: AbortSignal,
): Promise<void> {
  for (const [id, one] of followed) {
    const {isOver} = one
    if (clock.monotonic() < one.notBefore) continue
    try {
      await look(one, signal)
      if (isOver) followed.delete(id)
    } catch (error) {
      if (signal.aborted) continue
      onFailure(error)
      one.failures += 1
      one.notBefore = clock.monotonic() + restMs
      if (isOver && one.failures >= mostFailures) followed.delete(id)
    }
  }
}
