import {once} from 'node:events'
import {mkdirSync, writeFileSync} from 'node:fs'
import {createServer} from 'node:http'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
// @ts-expect-error -- plain JavaScript, shared with the demo
import {openCodeEnvironment} from '../../demo/model/opencode-environment.mjs'
// @ts-expect-error -- plain JavaScript, shared with the demo
import {createFakeModel} from '../../demo/model/server.mjs'
import {root} from '../../test/support/cli.ts'
import {anthropic} from './api/anthropic.ts'
import {gemini} from './api/gemini.ts'
import {responses} from './api/responses.ts'
import {type Api, type Endpoint, startEndpoint, type Step, theEdit, thePrompt} from './scripted-endpoint.ts'

/** An agent that is tried. */
export type Subject = {
  /** Its name in tasks. */
  name: string
  /** Starts the endpoint that plays its model, and writes the files that the agent needs to use it into `home`. */
  setUp(home: string): Promise<{endpoint: Endpoint; env: Record<string, string>}>
  prompt: string
  /** A prompt whose task makes a tool call, and then waits for the model until the endpoint is released. */
  unfinished: string
  /** Settings of a worker whose agent asks before it edits. */
  asking: Record<string, string>
}

const prompt = thePrompt
const asks = (name: string) => ({A2A_AGENTS: JSON.stringify({[name]: {permissions: 'ask'}})})

function withEnvironment(
  name: string,
  api: Api,
  environmentOf: (url: string, home: string) => Record<string, string>,
): Subject {
  return {
    ...{name, prompt, unfinished: prompt, asking: asks(name)},
    async setUp(home) {
      const endpoint = await startEndpoint(api)
      return {endpoint, env: environmentOf(endpoint.url, home)}
    },
  }
}

const claude = withEnvironment('claude', anthropic, (url) => ({
  ANTHROPIC_API_KEY: 'scripted',
  ANTHROPIC_BASE_URL: url,
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
}))

const geminiCli = withEnvironment('gemini', gemini, (url) => ({
  GEMINI_API_KEY: 'scripted',
  GOOGLE_GEMINI_BASE_URL: url,
}))

const codex = withEnvironment('codex', responses, (url, home) => {
  const folder = join(home, '.codex')
  mkdirSync(folder, {recursive: true})
  writeFileSync(
    join(folder, 'config.toml'),
    `model_provider = "scripted"

[model_providers.scripted]
name = "Scripted"
base_url = "${url}/v1"
wire_api = "responses"
env_key = "CODEX_API_KEY"
`,
  )
  return {CODEX_API_KEY: 'scripted'}
})

const openCode: Subject = {
  name: 'opencode',
  prompt: `${prompt} [fake:read path=${theEdit.file}] [fake:replace path=${theEdit.file} old="${theEdit.old}" new="${theEdit.new}"] [fake:text say="${theEdit.say}"]`,
  // The endpoint of OpenCode holds back whole tasks, so the script itself stops.
  unfinished: `${prompt} [fake:read path=${theEdit.file}] [fake:hang]`,
  asking: {A2A_PERMISSIONS: JSON.stringify({edit: 'ask'})},
  async setUp() {
    const endpoint = await startOpenCodeModel()
    return {
      endpoint,
      env: {
        ...(openCodeEnvironment(Number(new URL(endpoint.url).port)) as Record<string, string>),
        OPENCODE_BIN_PATH: join(root, 'node_modules/opencode-linux-x64/bin/opencode'),
        OPENCODE_MODELS_PATH: join(root, 'test/fixtures/no-models.json'),
        OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
        A2A_EXECUTOR: 'acp',
        A2A_WARM_AGENTS: '0',
      },
    }
  },
}

export const subjects: readonly Subject[] = [openCode, claude, codex, geminiCli]

const stepNames: Record<string, Step> = {read: 'read', replace: 'edit', text: 'text'}

/** The scripted model of the demo, with a gate before it: it holds back whole tasks, not single steps. */
async function startOpenCodeModel(): Promise<Endpoint> {
  const model = createFakeModel() as {
    server: ReturnType<typeof createServer>
    requests: {step: string; aside: boolean}[]
  }
  const [answer] = model.server.listeners('request')
  let gate = Promise.resolve()
  let open = () => {}
  let isAsked = false
  const server = createServer((request, response) => {
    isAsked ||= request.method === 'POST'
    void gate.then(() => answer?.(request, response))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get steps() {
      return model.requests.flatMap(({step, aside}) => (aside ? [] : (stepNames[step] ?? [])))
    },
    get isAsked() {
      return isAsked
    },
    begin(_file, held) {
      model.requests.length = 0
      isAsked = false
      const {promise, resolve} = Promise.withResolvers<void>()
      gate = promise
      open = resolve
      if (held === undefined || held === 'text') resolve()
    },
    release: () => open(),
    async [Symbol.asyncDispose]() {
      open()
      server.closeAllConnections()
      server.close()
    },
  }
}
