import {once} from 'node:events'
import {createServer, type IncomingMessage, type ServerResponse} from 'node:http'
import type {AddressInfo} from 'node:net'
import {standInProvider} from '../../opencode/program/stand-in.ts'
import {parseJson} from '../../protocol/parse.ts'

/** The model as OpenCode names it. */
const model = 'stand-in'
export const standInModel = `${standInProvider}/${model}`

export type StandIn = AsyncDisposable & {
  /** The configuration of an agent that may ask this model, from that which it would have. Undefined: it cannot be extended. */
  configFor(agentId: string, config: string | undefined): string | undefined
  /** What the model answers to this agent: the title of its session. */
  setTitle(agentId: string, title: string): void
  forget(agentId: string): void
}

/**
 * A model on loopback that costs nothing. An agent asks it once before its first task, so that everything is loaded. It
 * also names the sessions of tasks: after the task, instead of asking the user's provider for a title.
 *
 * The format is that of the chat completions of OpenAI (platform.openai.com/docs/api-reference/chat), as a stream.
 */
export async function startStandIn(): Promise<StandIn> {
  const titles = new Map<string, string>()
  const server = createServer((request, response) => answer(request, response, titles))
  server.listen(0, '127.0.0.1')
  server.unref()
  await once(server, 'listening')
  const {port} = server.address() as AddressInfo
  return {
    configFor: (agentId, config) => extended(config, `http://127.0.0.1:${port}/${agentId}/v1`),
    setTitle: (agentId, title) => titles.set(agentId, title),
    forget: (agentId) => titles.delete(agentId),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

function extended(config: string | undefined, baseURL: string): string | undefined {
  const content = config ? parseJson(config) : {}
  if (typeof content !== 'object' || content === null || Array.isArray(content)) return undefined
  const {provider: providers, enabled_providers: enabled, agent, ...rest} = content as Record<string, unknown>
  const limit = {context: 200_000, output: 1000}
  const own = {
    npm: '@ai-sdk/openai-compatible',
    name: 'Stand-in of a2a-worker',
    options: {baseURL, apiKey: 'none'},
    models: {[model]: {name: 'Stand-in', limit, tool_call: true}},
  }
  return JSON.stringify({
    ...rest,
    provider: {...(providers as object | undefined), [standInProvider]: own},
    ...(Array.isArray(enabled) ? {enabled_providers: [...(enabled as unknown[]), standInProvider]} : {}),
    agent: {title: {model: standInModel}, ...(agent as object | undefined)},
  })
}

function answer(request: IncomingMessage, response: ServerResponse, titles: ReadonlyMap<string, string>): void {
  request.resume()
  const agentId = request.url?.split('/')[1] ?? ''
  const title = titles.get(agentId)
  if (title === undefined) {
    response.writeHead(404).end()
    return
  }
  response.writeHead(200, {'content-type': 'text/event-stream'})
  const chunk = (delta: object, finish: string | null) =>
    `data: ${JSON.stringify({id: 'stand-in', object: 'chat.completion.chunk', created: 0, model, choices: [{index: 0, delta, finish_reason: finish}]})}\n\n`
  response.write(chunk({role: 'assistant', content: title}, null))
  response.end(`${chunk({}, 'stop')}data: [DONE]\n\n`)
}
