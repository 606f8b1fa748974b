import * as v from 'valibot'

/**
 * What an agent does now: it starts, it waits for its model, the model answers, or a tool runs. `what` names the tool
 * and what it does. Over the wire, `for_ms` says how long already, because clocks differ.
 */
const fields = {
  state: v.picklist(['starting', 'waiting', 'answering', 'tool']),
  what: v.optional(v.string(), ''),
}

export const wireAgentStateSchema = v.object({
  ...fields,
  for_ms: v.pipe(
    v.number(),
    v.transform((ms) => Math.max(0, Math.round(ms))),
  ),
})
export type WireAgentState = v.InferOutput<typeof wireAgentStateSchema>

/** `since` in Unix ms. */
export const agentStateSchema = v.object({...fields, since: v.number()})
export type AgentState = v.InferOutput<typeof agentStateSchema>

/** The state for people. */
export function agentStateText({state, what}: Pick<AgentState, 'state' | 'what'>): string {
  switch (state) {
    case 'starting':
      return 'OpenCode is starting'
    case 'waiting':
      return 'waiting for the model'
    case 'answering':
      return 'the model answers'
    case 'tool':
      return `running ${what}`
  }
}
