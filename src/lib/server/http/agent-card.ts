/** The agent card of the A2A specification (0.3), served at /.well-known/agent-card.json. */
export const agentCard = ({url, version, asksForTokens}: {url: string; version: string; asksForTokens: boolean}) => ({
  protocolVersion: '0.3.0',
  name: 'a2a-worker control plane',
  description: 'Puts AI coding agents to work on the machines where the code lives',
  url,
  preferredTransport: 'HTTP+JSON',
  version,
  documentationUrl: `${url}openapi.json`,
  capabilities: {streaming: true, pushNotifications: false, stateTransitionHistory: false},
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
