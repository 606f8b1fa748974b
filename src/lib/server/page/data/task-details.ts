import type {WireAgentState} from '../../../protocol/agent-state.ts'
import {isFinal, type Usage} from '../../../protocol/schemas.ts'
import type {OpenQuestion} from '../../../protocol/task-input.ts'
import type {Plane} from '../../plane/plane.ts'
import {waitingFor} from '../../rules/tasks/dialogue.ts'
import {requireTask} from '../../rules/dispatch/required.ts'
import type {StoredInput, StoredTask} from '../../state/records.ts'
import {programOf} from '../../../protocol/agent-program.ts'
import {agentStateOf} from '../../tasks/waiting.ts'
import {needsSignature, takesSignedOnly} from './signed-only.ts'
import {taskRow, type TaskRow} from './task-rows.ts'
import type {Viewer} from './viewer.ts'

/** What the page of a task shows, besides its output. */
export type TaskDetails = TaskRow & {
  now: number
  prompt: string
  promptChars: number
  agent: string
  program: string | undefined
  model: string | null
  session: string | null
  attempt: number
  returns: number
  priority: number
  usage: Usage | null
  /** Of the run so far, as its output tells. Undefined: not all of it was read. */
  spent: Spent | undefined
  by: {created: string | null; cancelled: string | null; retried: string | null}
  doing: WireAgentState | null
  questions: OpenQuestion[]
  inputs: StoredInput[]
  result: string | null
  droppedBytes: number
  hasOutput: boolean
  /** The worker takes messages to running tasks. */
  takesInput: boolean
  /** What it takes must be signed. */
  needsSignature: boolean
}

/** Tokens, and cost in US dollars. */
export type Spent = {input: number; output: number; cost: number}

/** Of a prompt, an error and a result, so much is shown. */
export const shownChars = 6000
const maxInputs = 20
const maxQuestions = 5

/** Reads a task for its page. Throws 404. */
export function taskDetails(plane: Plane, id: string, {only}: Viewer, spent?: Spent): TaskDetails {
  const {state} = plane
  const task = requireTask(state, id)
  return {
    ...taskRow(plane, task),
    now: state.now,
    prompt: task.prompt.slice(0, shownChars),
    promptChars: task.prompt.length,
    ...{agent: task.agent_type, program: programOf(task.metadata), model: task.model, session: task.session_id},
    ...{attempt: task.attempt, returns: task.returns, priority: task.priority, usage: task.usage, spent},
    by: {created: task.created_by, cancelled: task.cancelled_by, retried: task.retried_by},
    doing: agentStateOf(task, state),
    questions: waitingFor(state, task).slice(0, maxQuestions),
    // what was said to another worker's run is nothing for a worker's token
    inputs: only === undefined ? lastInputs(plane, id) : [],
    error: task.error?.slice(0, shownChars) ?? null,
    result: task.result?.slice(-shownChars) ?? null,
    droppedBytes: task.output_lost,
    hasOutput: task.output_seq > task.output_first,
    takesInput: takesInput(plane, task),
    needsSignature: isFinal(task.status)
      ? needsSignature(state, task.codebase_id)
      : takesSignedOnly(state, task.worker_id),
  }
}

function lastInputs({views}: Plane, taskId: string): StoredInput[] {
  const all = [...views.inputs.list(taskId, {})]
  return all.slice(-maxInputs)
}

const takesInput = ({state}: Plane, {worker_id}: Readonly<StoredTask>) =>
  state.get('worker', worker_id ?? '')?.features.includes('input') ?? false
