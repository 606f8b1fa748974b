type Facts = {
  /** Where the server is reached, by its configuration. */
  url: string
  version: string
  asksForTokens: boolean
}

/**
 * The agent card of the A2A specification, at /.well-known/agent-card.json. It names no interface, because the control
 * plane speaks none of A2A's protocols. `url` is there because clients of the existing server read it. It is never taken
 * from the `Host` of a request, which may be anything.
 */
export const agentCard = ({url, version, asksForTokens}: Facts) => ({
  name: 'a2a-worker control plane',
  description:
    'Puts AI coding agents to work on the machines where the code lives. It speaks its own HTTP API, which /openapi.json describes, and none of the protocols of A2A.',
  url,
  version,
  supportedInterfaces: [],
  documentationUrl: `${url}/openapi.json`,
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
