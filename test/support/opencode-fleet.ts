import {once} from 'node:events'
import {mkdirSync, readdirSync, readFileSync} from 'node:fs'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
// @ts-expect-error -- plain JavaScript, shared with the demo
import {createFakeModel} from '../../demo/model/server.mjs'
import {root} from './cli.ts'
import {startFleet} from './fleet.ts'

type ModelRequest = {step: string; messages: number; lastUser: string}

export const openCode = join(root, 'node_modules/opencode-linux-x64/bin/opencode')

/** The scripted model, and the environment in which OpenCode asks it and nobody else. */
export async function startModel() {
  const model = createFakeModel()
  model.server.listen(0, '127.0.0.1')
  await once(model.server, 'listening')
  const {port} = model.server.address() as AddressInfo
  return {
    env: {
      OPENCODE_CONFIG_CONTENT: JSON.stringify(configuration(port)),
      OPENCODE_DISABLE_MODELS_FETCH: '1',
      OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
      npm_config_offline: 'true',
    },
    /** What the model was asked, in order. */
    requests: model.requests as ModelRequest[],
    async [Symbol.asyncDispose]() {
      model.server.closeAllConnections()
      model.server.close()
    },
  }
}

/** A fleet whose agent is the real OpenCode, with the scripted model behind it. */
export async function startOpenCodeFleet(more: Record<string, string> = {}) {
  const model = await startModel()
  const env = {...model.env, OPENCODE_BIN_PATH: openCode, A2A_AUTH_TOKEN: 'token-of-the-worker', ...more}
  const fleet = await startFleet({env})
  mkdirSync(join(fleet.path, 'outside'))
  return {
    ...fleet,
    requests: model.requests,
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]()
      await model[Symbol.asyncDispose]()
    },
  }
}

function configuration(port: number) {
  const limit = {context: 2_000_000, output: 8192}
  const provider = {
    fake: {
      npm: '@ai-sdk/openai-compatible',
      name: 'Fake',
      options: {baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'k'},
      models: {x: {name: 'X', limit, cost: {input: 1, output: 2}}, small: {name: 'S', limit}},
    },
  }
  const models = {model: 'fake/x', small_model: 'fake/small', enabled_providers: ['fake']}
  return {autoupdate: false, share: 'disabled', ...models, provider}
}

/** Processes that carry the marker of a task. */
export function processesOf(task: string): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/environ`, 'latin1').includes(`:${task}:`)
    } catch {
      return false
    }
  })
}
