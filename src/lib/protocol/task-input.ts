import * as v from 'valibot'
import {limits} from './limits.ts'

/**
 * Questions of a running agent, and what people say to it. Ours: the existing server and worker know neither. A worker
 * sends the open questions of a run as a whole list. A person sends inputs: an answer to a question, or a message.
 */

const id = v.pipe(v.string(), v.minLength(1), v.maxLength(limits.id))
const text = (length: number) => v.pipe(v.string(), v.maxLength(length))
/** Unix ms. */
const time = v.pipe(v.number(), v.integer(), v.minValue(0))

/** What an option does. The first four are those of the Agent Client Protocol. */
export const optionKinds = ['allow_once', 'allow_always', 'reject_once', 'reject_always', 'other'] as const

export const questionOptionSchema = v.object({
  id,
  name: text(limits.name),
  kind: v.fallback(v.picklist(optionKinds), 'other'),
})
export type QuestionOption = v.InferOutput<typeof questionOptionSchema>

/** Something that an agent waits for. `until`: when the worker answers no by itself; null: never. */
export const openQuestionSchema = v.object({
  /** Unique within the run. */
  id,
  kind: v.fallback(v.picklist(['permission', 'question']), 'question'),
  /** One line, for people. */
  title: text(limits.note),
  options: v.pipe(v.array(questionOptionSchema), v.maxLength(20)),
  since: time,
  until: v.nullable(time),
})
export type OpenQuestion = v.InferOutput<typeof openQuestionSchema>

/** Most open questions of a run. */
export const maxOpenQuestions = 20

/** The open questions of a run, as their holder sends them. */
export const openQuestionsSchema = v.pipe(v.array(openQuestionSchema), v.maxLength(maxOpenQuestions))

/**
 * What a person says to a running task. With `question`, it answers that question: by `option` (the id of an option, or
 * `allow`, `always` or `deny`), or by `text`. Without, `text` is a message: `queue` waits for the end of the turn,
 * `steer` ends the turn first.
 */
export const taskInputSchema = v.object({
  id,
  question: v.optional(v.nullable(id), null),
  option: v.optional(v.nullable(id), null),
  text: v.optional(v.nullable(text(limits.object)), null),
  mode: v.optional(v.picklist(['queue', 'steer']), 'queue'),
})
export type TaskInput = v.InferOutput<typeof taskInputSchema>

/**
 * What became of an input. `delivered`: the agent has it. `refused`: it was not given to the agent, for the reason said.
 * `unknown`: the agent died, and nobody can know whether it had it.
 */
export const inputOutcomes = ['delivered', 'refused', 'unknown'] as const
export type InputResult = {id: string; outcome: (typeof inputOutcomes)[number]; reason: string | null}

export const inputResultSchema = v.object({
  id,
  outcome: v.picklist(inputOutcomes),
  reason: v.pipe(
    v.optional(v.nullable(v.string()), null),
    v.transform((reason) => reason?.slice(0, limits.note) ?? null),
  ),
})

/** Most inputs of a task that its worker has not got yet, and most inputs that a task gets in all. */
export const maxUndelivered = 100
export const maxInputs = 1000

/** A signature over the task and the input: a JWS in compact form. */
const signature = v.optional(v.nullable(text(16 * 1024)), null)

/** What a client sends. Its texts are checked later, so that the refusal says what is wrong. */
export const newInputSchema = v.object({
  ...taskInputSchema.entries,
  /** Made by the control plane if it is missing. The same id again is the same input. */
  id: v.optional(v.nullable(id), null),
  text: v.optional(v.nullable(v.string()), null),
  signature,
})
export type NewInput = v.InferInput<typeof newInputSchema>

/** An input with its signature, as its worker gets it. */
export const signedInputSchema = v.object({...taskInputSchema.entries, signature})
export type SignedInput = v.InferOutput<typeof signedInputSchema>

/** An input as the control plane shows it: who sent it, and what became of it. */
export const storedInputSchema = v.object({
  ...signedInputSchema.entries,
  created_by: v.optional(v.nullable(v.string()), null),
  created_at: v.string(),
  /** `stored`: the worker has not told yet what became of it. */
  state: v.picklist(['stored', ...inputOutcomes]),
  reason: v.optional(v.nullable(v.string()), null),
  settled_at: v.optional(v.nullable(v.string()), null),
  /** The task that a message to an ended task has created. */
  next_task: v.optional(v.nullable(v.string()), null),
})
export type StoredInput = v.InferOutput<typeof storedInputSchema>

export const inputListSchema = v.object({inputs: v.array(storedInputSchema)})

/** What the holder of a task sends: all open questions of the run, and what became of inputs. */
export const questionsSchema = v.object({
  worker_id: id,
  attempt: v.pipe(v.number(), v.integer(), v.minValue(1)),
  questions: openQuestionsSchema,
  inputs: v.optional(v.pipe(v.array(inputResultSchema), v.maxLength(maxInputs)), []),
})
export type QuestionReport = v.InferInput<typeof questionsSchema>

/** A `task_input` frame. Without `input` it is too long for a frame, and the worker fetches it. */
export const inputEventSchema = v.object({
  task_id: id,
  attempt: v.optional(v.number(), 0),
  input: v.optional(v.nullable(signedInputSchema), null),
})

/** Texts up to this length are sent in a frame. */
export const maxFrameText = 32 * 1024

/** What an agent asks, as a line for people. */
export function questionText({kind, title}: Pick<OpenQuestion, 'kind' | 'title'>): string {
  return kind === 'permission' ? `asks for a permission: ${title}` : `asks: ${title}`
}

/** What a list of open questions says, as a line for people. Undefined if there is none. */
export function questionsText(questions: readonly OpenQuestion[]): string | undefined {
  const [first, ...others] = questions
  if (!first) return undefined
  return `${questionText(first)}${others.length > 0 ? ` (and ${others.length} more)` : ''}`
}

/** Which options a word of a person means, the best first. */
const meanings = new Map<string, readonly QuestionOption['kind'][]>([
  ['allow', ['allow_once', 'allow_always']],
  ['always', ['allow_always']],
  ['deny', ['reject_once', 'reject_always']],
])

/** The option that an answer chooses: by its id, or by what it means. Undefined if the question has none like that. */
export function chosenOption({options}: Pick<OpenQuestion, 'options'>, answer: string): QuestionOption | undefined {
  const byId = options.find(({id}) => id === answer)
  const kinds = meanings.get(answer) ?? []
  return byId ?? kinds.map((kind) => options.find((option) => option.kind === kind)).find(Boolean)
}

/** Whether an answer chooses an option of a question. A permission can be denied even if it lists no option for that. */
export const isOptionOf = (question: Pick<OpenQuestion, 'kind' | 'options'>, answer: string): boolean =>
  chosenOption(question, answer) !== undefined || (answer === 'deny' && question.kind === 'permission')

/** What the next task of a session takes from the metadata of the task before: its agent, and its limits. */
const inheritedKeys = [
  ...['model', 'agent_program', 'required_capabilities'],
  ...['max_cost', 'max_tokens', 'max_turns'],
] as const

/** The metadata of a task that goes on with the session of one that has ended. */
export const metadataOfNext = (before: Record<string, unknown>, sessionId: string): Record<string, unknown> => ({
  ...Object.fromEntries(inheritedKeys.flatMap((key) => (before[key] === undefined ? [] : [[key, before[key]]]))),
  resume_session_id: sessionId,
})
