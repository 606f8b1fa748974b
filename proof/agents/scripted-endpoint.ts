import {once} from 'node:events'
import {createServer, type IncomingMessage, type ServerResponse} from 'node:http'
import type {AddressInfo} from 'node:net'

/** What the scripted model does, one step for each request of a task: it reads the file, edits it, and says so. */
export type Step = 'read' | 'edit' | 'text'

export type Fields = Record<string, unknown>

/** The edit that the model asks for. It would change the file again if it were made twice. */
export const theEdit = {file: 'README.md', old: 'hello', new: 'hello, edited', say: 'The file is edited.'}

/** What a person asks for. */
export const thePrompt = `Greet more precisely in ${theEdit.file}.`

/** What the model is asked, as far as the script needs it. */
export type Asked = {
  method: string
  path: string
  body: Fields
  /** Absolute path of the file. */
  file: string
}

/** A request, understood. `step` is undefined for what is no request of the task: titles, lists of models, greetings. */
export type Answer = {step?: Step; status?: number; json?: unknown; events?: readonly ServerEvent[]}
export type ServerEvent = {event?: string; data: unknown}

/** An API of a model provider, as far as an agent uses it. */
export type Api = (asked: Asked) => Answer

/** Tokens that each answer of the model reports. */
export const tokens = {input: 100, output: 10}

export type Endpoint = AsyncDisposable & {
  url: string
  /** The steps that were asked for, in order. */
  readonly steps: Step[]
  /** Whether the model was asked anything, also if the answer is held back. */
  readonly isAsked: boolean
  /** Starts a new task. Its file is `file`; the answer to `held` waits until it is released. */
  begin(file: string, held?: Step): void
  release(): void
}

/** Starts a server on loopback that answers like a model provider. */
export async function startEndpoint(api: Api): Promise<Endpoint> {
  const state = {file: '', steps: [] as Step[]}
  let gate = Promise.withResolvers<void>()
  let held: Step | undefined
  const server = createServer((request, response) => void handle(request, response))

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = parse(Buffer.concat(chunks).toString())
    const path = request.url ?? ''
    const answer = api({method: request.method ?? '', path, body, file: state.file})
    if (answer.step) {
      state.steps.push(answer.step)
      if (answer.step === held) await gate.promise
    }
    send(response, answer)
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get steps() {
      return state.steps
    },
    get isAsked() {
      return state.steps.length > 0
    },
    begin(file, step) {
      Object.assign(state, {file, steps: []})
      held = step
      gate = Promise.withResolvers()
    },
    release: () => gate.resolve(),
    async [Symbol.asyncDispose]() {
      gate.resolve()
      server.closeAllConnections()
      server.close()
    },
  }
}

function parse(text: string): Fields {
  try {
    return JSON.parse(text) as Fields
  } catch {
    return {}
  }
}

function send(response: ServerResponse, {status = 200, json = {}, events}: Answer): void {
  if (!events) {
    response.writeHead(status, {'content-type': 'application/json'}).end(JSON.stringify(json))
    return
  }
  response.writeHead(status, {'content-type': 'text/event-stream', 'cache-control': 'no-cache'})
  for (const {event, data} of events)
    response.write(`${event === undefined ? '' : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`)
  response.end()
}

export const listOf = (value: unknown): Fields[] => (Array.isArray(value) ? (value as Fields[]) : [])

/** The step of a conversation with this many results of tools. */
export const stepAfter = (results: number, steps: readonly Step[]): Step => steps[results] ?? 'text'
