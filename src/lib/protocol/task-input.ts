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
