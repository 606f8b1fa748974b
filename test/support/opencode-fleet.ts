import {execFileSync} from 'node:child_process'
import {once} from 'node:events'
import {mkdirSync, readdirSync, readFileSync} from 'node:fs'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
// @ts-expect-error -- plain JavaScript, shared with the demo
import {openCodeEnvironment} from '../../demo/model/opencode-environment.mjs'
// @ts-expect-error -- plain JavaScript, shared with the demo
import {createFakeModel} from '../../demo/model/server.mjs'
import {root, type Running} from './cli.ts'
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
    env: openCodeEnvironment(port) as Record<string, string>,
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

/** What worker and agents have said, and which processes there are: for the message of a wait that was in vain. */
export function toldBy({path}: {path: string}, worker: Running): string {
  const logs = execFileSync('sh', [
    '-c',
    `cd '${path}' && tail -n 20 state/workers/*/runs/*/*/stderr.log home/.local/share/opencode/log/* 2>&1; ps -eo pid,ppid,stat,wchan:20,etime,args | grep -v '\\[' | cut -c1-200`,
  ])
  return `the worker:\n${worker.stderr()}\nthe agents:\n${logs.toString('utf8')}`
}
