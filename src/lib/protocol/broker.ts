import * as v from 'valibot'

/**
 * Announcements of control planes over Redis pub/sub: `{type, data, timestamp}` on `events` and on `events:<type>`, as
 * the existing server's message broker sends them. Ours contain only ids; the existing server may send
 * whole tasks. A message only triggers a poll. The store is authoritative.
 */
export const brokerTypes = {available: 'task_available', created: 'task.created', cancelled: 'task.cancelled'} as const

/** Announced for people only: an agent asks something, or no longer. Workers do not subscribe to it. */
export const questionType = 'task.question'

const channelOf = (type: string) => `events:${type}`

export const brokerChannels = {
  /** All messages. */
  all: 'events',
  of: channelOf,
  /** The channels that a worker subscribes to. */
  worker: Object.values(brokerTypes).map((type) => channelOf(type)),
}

export const brokerMessageSchema = v.object({
  type: v.picklist(Object.values(brokerTypes)),
  data: v.looseObject({id: v.pipe(v.string(), v.minLength(1)), codebase_id: v.optional(v.string(), '')}),
  timestamp: v.optional(v.string()),
})
