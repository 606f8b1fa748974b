import type {FinalStatus} from '../protocol/schemas.ts'

/** The states of a worker's life; the table of allowed changes is beside the code that makes them. */
export type Phase = 'idle' | 'starting' | 'running' | 'draining' | 'stopping' | 'stopped' | 'failed'

/** How tasks reach the worker now. */
export type Link = 'stream' | 'broker' | 'poll' | 'down'

/** Everything a worker can tell the world. Plain JSON: it is logged, drawn, and streamed as it is. `at` is ms since 1970. */
export type WorkerEvent = {at: number} & (
  | {type: 'phase.changed'; from: Phase; to: Phase}
  | {type: 'link.changed'; link: Link; reason: string}
  | {type: 'broker.changed'; isUp: boolean; reason: string}
  | {type: 'worker.registered'; workerId: string; name: string; server: string; first: boolean}
  | {type: 'codebase.registered'; codebaseId: string; name: string; path: string}
  | {type: 'codebase.refused'; name: string; path: string; reason: string}
  | {type: 'task.received'; taskId: string; title: string; source: TaskSource}
  | {type: 'task.waiting'; taskId: string; title: string; reason: string}
  | {type: 'task.dropped'; taskId: string; reason: string}
  | {
      type: 'task.started'
      taskId: string
      attempt: number
      title: string
      path: string
      agent: string
      pid: number | null
    }
  | {type: 'task.session'; taskId: string; sessionId: string}
  | {type: 'task.activity'; taskId: string; line: string}
  | {type: 'task.stopping'; taskId: string; reason: string}
  | {type: 'task.finished'; taskId: string; status: FinalStatus; ms: number; error: string | null; cost: number}
  | {type: 'task.reported'; taskId: string; status: FinalStatus}
  | {type: 'task.refused'; taskId: string; reason: string}
  | {type: 'stop.requested'; step: 'drain' | 'cancel' | 'detach' | 'exit'; by: string; hint: string}
  | {type: 'notice'; level: 'debug' | 'info' | 'warn' | 'error'; text: string; taskId?: string}
)

export type TaskSource = 'stream' | 'poll' | 'recovery'

/** An event without its time, as it is handed to the bus. */
export type EventBody<E = WorkerEvent> = E extends WorkerEvent ? Omit<E, 'at'> : never
