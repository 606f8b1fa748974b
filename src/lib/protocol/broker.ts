import * as v from 'valibot'

/**
 * What control planes announce over Redis pub/sub: `{type, data, timestamp}` on `events` and on `events:<type>`, as the
 * existing server's message broker does. A message is a wake-up: the store of the server stays the truth.
 */
export const brokerTypes = {available: 'task_available', created: 'task.created', cancelled: 'task.cancelled'} as const

const channelOf = (type: string) => `events:${type}`

export const brokerChannels = {
  /** Everything, for those who watch. */
  all: 'events',
  of: channelOf,
  /** What a worker listens to. */
  worker: Object.values(brokerTypes).map((type) => channelOf(type)),
}

export const brokerMessageSchema = v.object({
  type: v.picklist(Object.values(brokerTypes)),
  data: v.looseObject({id: v.pipe(v.string(), v.minLength(1)), codebase_id: v.optional(v.string(), '')}),
  timestamp: v.optional(v.string()),
})

/** `redis://` or `rediss://` with a host; undefined when it is good, else what is wrong with it. */
export function brokerUrlProblem(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url && ['redis:', 'rediss:'].includes(url.protocol) && url.hostname !== '') return undefined
  return 'must be an address like redis://host:6379 (or rediss:// with TLS)'
}
