import type {ControlPlaneClient} from '../../client/control-plane.ts'
import type {SignedInput} from '../../protocol/task-input.ts'
import {limits} from '../../protocol/limits.ts'
import {Conversation, type ConversationOptions, type ConversedRun} from './conversation.ts'

export type ConversationsOptions = ConversationOptions & {client: Pick<ControlPlaneClient, 'undelivered'>}

/** Inputs that arrived before their run has begun. Of more, the oldest is dropped: the control plane has it. */
const maxEarly = 200

type Arrived = {taskId: string; attempt: number; input: SignedInput}

/** The conversations of all runs, by task. */
export class Conversations {
  readonly #options: ConversationsOptions
  readonly #open = new Map<string, Conversation>()
  #early: Arrived[] = []

  constructor(options: ConversationsOptions) {
    this.#options = options
  }

  /** Begins the conversation of a run. Close it when the run was reported. */
  open(run: ConversedRun): Conversation {
    const conversation = new Conversation(run, this.#options)
    this.#open.set(run.task_id, conversation)
    const isIts = ({taskId, attempt}: Arrived) => taskId === run.task_id && attempt === run.attempt
    for (const early of this.#early) if (isIts(early)) conversation.receive(early.input)
    this.#early = this.#early.filter(({taskId}) => taskId !== run.task_id)
    return conversation
  }

  close(conversation: Conversation): void {
    const {task_id: taskId} = conversation.run
    if (this.#open.get(taskId) === conversation) this.#open.delete(taskId)
  }

  /** An input has arrived on the stream. Null: it must be fetched. */
  receive(taskId: string, attempt: number, input: SignedInput | null): void {
    const conversation = this.#open.get(taskId)
    if (!conversation) {
      if (input) this.#early = [...this.#early, {taskId, attempt, input}].slice(-maxEarly)
      return
    }

    if (conversation.run.attempt !== attempt) return
    if (input) conversation.receive(input)
    else void this.#fetch(conversation)
  }

  /** Fetches what was said to active runs: at once, because something may have been missed. */
  fetchNow(): void {
    for (const conversation of this.#open.values()) void this.#fetch(conversation)
  }

  /** Does so at the interval of heartbeats, until aborted: the stream may be down, or a frame lost. */
  async run(signal: AbortSignal): Promise<void> {
    const {clock} = this.#options
    while (!signal.aborted) {
      await clock.sleep(limits.heartbeat, signal)
      if (!signal.aborted) this.fetchNow()
    }
  }

  /** A failure is left to the next time: nothing is lost. */
  async #fetch(conversation: Conversation): Promise<void> {
    const {client, registration, workerId, signal} = this.#options
    if (!registration.has('input')) return
    const {task_id: taskId, attempt} = conversation.run
    const found = await client.undelivered(taskId, workerId, attempt, signal).catch(() => [])
    for (const input of found) conversation.receive(input)
  }
}
