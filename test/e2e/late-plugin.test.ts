import {execFileSync} from 'node:child_process'
import {existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, expect, test} from 'vitest'
import {startOpenCodeFleet} from '../support/opencode-fleet.ts'
import {until} from '../support/scratch.ts'

// A new machine: OpenCode has not installed its own package yet, without which it would load our plugin late.
const fleet = await startOpenCodeFleet({A2A_WARM_AGENTS: '', npm_config_offline: ''})
afterAll(() => fleet[Symbol.asyncDispose]())
const path = join(fleet.path, 'api')
mkdirSync(path)
execFileSync('git', ['init', '-q'], {cwd: path})
// No registry answers here.
writeFileSync(join(fleet.path, 'home/.npmrc'), 'registry=http://127.0.0.1:9/\nfetch-retries=0\n')

const state = join(fleet.path, 'state/workers/w')
const fileOf = (folder: string, name: string) => {
  const file = join(state, folder, name)
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}
const agents = () => (existsSync(join(state, 'agents')) ? readdirSync(join(state, 'agents')) : [])
const waitsWithPlugin = () =>
  agents().some(
    (name) =>
      fileOf(`agents/${name}`, 'report.ndjson').includes('"started"') &&
      fileOf(`agents/${name}`, 'messages.ndjson').includes('"id":"warm-up-prompt-1"'),
  )

async function runTask(prompt: string) {
  const {code, stdout} = await fleet.cli(['tasks', 'create', '-b', path, '--wait', '--json', prompt])
  expect(code).toBe(0)
  const task = JSON.parse(stdout) as {id: string; usage: {input: number}}
  return {...task, isOverProtocol: fileOf(`runs/${task.id}/1`, 'sent.ndjson') !== ''}
}

test('tasks are run by `opencode run` until the plugin is loaded, so that no token is missing', async () => {
  await fleet.worker('w', [path])
  const [first, later] = [
    '[fake:edit path=a.txt text=hi] [fake:bash cmd=ls]',
    '[fake:edit path=b.txt text=hi] [fake:bash cmd=ls]',
  ]
  const before = await runTask(first)
  expect(before.isOverProtocol).toBe(false)
  // OpenCode has installed its package.
  mkdirSync(join(fleet.path, 'home/.config/opencode/node_modules/@opencode-ai/plugin'), {recursive: true})
  await until(waitsWithPlugin, 'an agent with the plugin', 60_000)
  const after = await runTask(later)
  expect(after.isOverProtocol).toBe(true)
  expect(after.usage.input / before.usage.input).toBeCloseTo(1, 1)
}, 150_000)
