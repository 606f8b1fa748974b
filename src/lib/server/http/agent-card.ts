type Facts = {
  /** Where the server is reached, if that is configured. */
  publicUrl: string | undefined
  version: string
  asksForTokens: boolean
}

/**
 * The agent card of the A2A specification, at /.well-known/agent-card.json. It names no interface, because the control
 * plane speaks none of A2A's protocols. It names its address only from the configuration: the `Host` of a request may be
 * anything.
 */
export const agentCard = ({publicUrl, version, asksForTokens}: Facts) => ({
  name: 'a2a-worker control plane',
  description:
    'Puts AI coding agents to work on the machines where the code lives. It speaks its own HTTP API, which /openapi.json describes, and none of the protocols of A2A.',
  version,
  supportedInterfaces: [],
  ...(publicUrl === undefined ? {} : {documentationUrl: `${publicUrl}/openapi.json`}),
  capabilities: {streaming: false, pushNotifications: false},
  defaultInputModes: ['text/plain'],
  defaultOutputModes: ['application/x-ndjson', 'text/plain'],
  skills: [
    {
      id: 'coding-task',
      name: 'Coding task',
      description: 'Runs a prompt with a coding agent inside a registered codebase',
      tags: ['code', 'opencode'],
    },
  ],
  ...(asksForTokens ? {securitySchemes: {bearer: {type: 'http', scheme: 'bearer'}}, security: [{bearer: []}]} : {}),
})
