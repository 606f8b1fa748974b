import {once} from 'node:events'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
// @ts-expect-error -- plain JavaScript, shared with the demo
import {openCodeEnvironment} from '../../demo/model/opencode-environment.mjs'
// @ts-expect-error -- plain JavaScript, shared with the demo
import {createFakeModel} from '../../demo/model/server.mjs'
import {root} from './cli.ts'

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
      ...(openCodeEnvironment(port) as Record<string, string>),
      // Tests use neither the public list of models nor the login plugins. Without them a start takes half as long.
      OPENCODE_MODELS_PATH: join(root, 'test/fixtures/no-models.json'),
      OPENCODE_DISABLE_DEFAULT_PLUGINS: '1',
    },
    /** What the model was asked, in order. */
    requests: model.requests as ModelRequest[],
    async [Symbol.asyncDispose]() {
      model.server.closeAllConnections()
      model.server.close()
    },
  }
}
