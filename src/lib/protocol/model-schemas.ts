import * as v from 'valibot'

const text = v.optional(v.nullish(v.string(), ''), '')
const flag = v.optional(v.nullish(v.boolean(), false), false)

/** A model of a worker's agent, as workers register it. `id` is `provider/model`. */
export const modelSchema = v.object({
  id: v.pipe(v.string(), v.minLength(1)),
  name: text,
  /** For people. */
  provider: text,
  provider_id: text,
  capabilities: v.optional(
    v.nullish(v.object({reasoning: flag, attachment: flag, tool_call: flag}), {}) as v.GenericSchema<
      unknown,
      {reasoning?: boolean; attachment?: boolean; tool_call?: boolean}
    >,
    {},
  ),
  /** The agent uses it for tasks that name no model. Ours. */
  default: flag,
  /** The workers that have it. Ours. */
  workers: v.optional(v.array(v.string()), []),
})
export type Model = v.InferOutput<typeof modelSchema>

/** The existing server may also return a bare array. */
export const modelListSchema = v.union([
  v.object({
    models: v.array(modelSchema),
    default: v.optional(v.nullable(v.string()), null),
    /** Why there are none. Ours. */
    reason: v.optional(v.nullable(v.string()), null),
  }),
  v.pipe(
    v.array(modelSchema),
    v.transform((models) => ({models, default: null, reason: null})),
  ),
])
