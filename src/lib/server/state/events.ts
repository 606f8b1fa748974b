import type {TaskStatus, Usage} from '../../protocol/schemas.ts'
import type {OpenQuestion, SignedInput} from '../../protocol/task-input.ts'
import type {TaskFacts} from './facts.ts'
import type {StoredTask} from './records.ts'

/** The changes of a task that are announced. */
export type TaskChange =
  'created' | 'running' | 'completed' | 'failed' | 'cancelled' | 'pending' | 'cancelling' | 'lost'

/** What happens once a decision is on disk: messages to workers, followers and the log. */
export type StateEvent =
  | {
      type: 'task'
      task: TaskFacts
      change: TaskChange
      error?: string | null | undefined
      usage?: Usage | null | undefined
      /** From its first start to its end, in ms. */
      ms?: number | undefined
    }
  | {type: 'output'; task: TaskFacts; output: string}
  /** The agent asks something, somebody has answered (`by`: a token's name), or it no longer asks. */
  | {
      type: 'question'
      task: TaskFacts
      change: 'asked' | 'answered' | 'over'
      question: Pick<OpenQuestion, 'id' | 'kind' | 'title'>
      by: string | null
    }
  /** The holder of a task gets an input. Null: it is too long for a frame, and the worker fetches it. */
  | {type: 'input'; workerId: string; taskId: string; attempt: number; input: SignedInput | null}
  /** The worker gets the task: it holds it (`assigned`), or it must claim it (`pending`). */
  | {type: 'give'; task: StoredTask; workerId: string; status: Extract<TaskStatus, 'assigned' | 'pending'>}
  /** The worker is asked to stop a run. The existing worker ignores it. */
  | {
      type: 'stop'
      workerId: string
      task: Pick<StoredTask, 'id' | 'codebase_id' | 'attempt'>
      reason: string
    }
  /** The stream of a worker is closed: it belongs to an earlier process, or its worker must poll. */
  | {type: 'close-stream'; workerId: string; connectionId: string}
  /** The process of a stream is asked for a heartbeat. */
  | {type: 'check-instance'; workerId: string; connectionId: string}
  | {type: 'worker'; change: 'connected' | 'disconnected'; workerId: string; name: string; hostname: string | null}
  /** A person has written to an agent. */
  | {type: 'intervention'; agentId: string; text: string}
  | {type: 'codebase-removed'; codebaseId: string}
  | {type: 'log'; line: string; workerId: string}
