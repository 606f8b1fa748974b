import * as v from 'valibot'

/** A link to the monitor page of a control plane. Ours. */
export const pageLinkSchema = v.object({
  success: v.boolean(),
  /** Without the address of the control plane. It begins with a slash. */
  path: v.pipe(v.string(), v.regex(/^\/(?!\/)/)),
  /** For how many seconds it works. Null: it is an ordinary address, because no login is needed. */
  expires_in: v.nullable(v.number()),
})
export type PageLinkAnswer = v.InferOutput<typeof pageLinkSchema>
