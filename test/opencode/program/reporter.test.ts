import {execFileSync, spawn} from 'node:child_process'
import {appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, expect, test} from 'vitest'
import {readProcess} from '../../../src/lib/executor/processes/processes.ts'
import {installReporter, reporterVariables} from '../../../src/lib/opencode/program/reporter.ts'
import {scratchFolder, until} from '../../support/scratch.ts'
import {openCode, startModel} from '../../support/scripted-model.ts'

const scratch = scratchFolder()
const model = await startModel()
afterAll(async () => {
  await model[Symbol.asyncDispose]()
  scratch[Symbol.dispose]()
})
const home = join(scratch.path, 'home')
const plugin = installReporter(join(scratch.path, 'plugin'))
const shipped = readFileSync(plugin, 'utf8')
const patient = '{checkMs: 15_000, checks: 20}'
// Nobody waits five minutes here.
writeFileSync(plugin, shipped.replace(patient, '{checkMs: 50, checks: 20}'))

/** Starts `opencode acp` with the plugin, as a child of a shell that is killed once the agent has a session. */
async function orphanWithSession(name: string, prompt: string | undefined) {
  const dir = join(scratch.path, name)
  const cwd = join(dir, 'api')
  mkdirSync(cwd, {recursive: true})
  execFileSync('git', ['init', '-q'], {cwd})
  execFileSync('mkfifo', [join(dir, 'stdin')])
  const env = {...model.env, HOME: home, PWD: cwd} as Record<string, string>
  const variables = reporterVariables({env, cwd, plugin, report: join(dir, 'report.ndjson')})
  const script = `"$0" acp <>"$1/stdin" >"$1/stdout" 2>"$1/stderr" & echo $! >"$1/pid"; wait`
  const options = {cwd, env: {...env, ...variables}, stdio: 'ignore'} as const
  const parent = spawn('/bin/sh', ['-c', script, openCode, dir], options)
  const say = (id: string, method: string, params: object) =>
    appendFileSync(join(dir, 'stdin'), `${JSON.stringify({jsonrpc: '2.0', id, method, params})}\n`)
  const said = (file: string, text: string) => () => {
    const path = join(dir, file)
    return existsSync(path) && readFileSync(path, 'utf8').includes(text)
  }
  say('1', 'initialize', {protocolVersion: 1, clientCapabilities: {}})
  say('2', 'session/new', {cwd, mcpServers: []})
  await until(said('stdout', '"id":"2"'), 'a session', 30_000)
  const {sessionId} = /"sessionId":"(?<sessionId>[^"]+)"/.exec(readFileSync(join(dir, 'stdout'), 'utf8'))?.groups ?? {}
  if (prompt) say('3', 'session/prompt', {sessionId, prompt: [{type: 'text', text: prompt}]})
  await until(said('report.ndjson', prompt ? '"type":"busy"' : '"type":"started"'), 'the plugin', 30_000)
  const pid = Number(readFileSync(join(dir, 'pid'), 'utf8'))
  parent.kill('SIGKILL')
  return {pid, hasAnswered: said('stdout', '"id":"3"')}
}

const isAlive = (pid: number) => (readProcess(pid)?.state ?? 'Z') !== 'Z'

test('an agent that waits for a task ends some time after its worker, and not before its turn has ended', async () => {
  expect(shipped).toContain(patient)
  const working = await orphanWithSession('working', '[fake:bash cmd="sleep 4"]')
  const idle = await orphanWithSession('idle', undefined)
  await until(() => !isAlive(idle.pid), 'the idle agent to end', 10_000)
  await until(working.hasAnswered, 'the turn to end', 30_000)
  await until(() => !isAlive(working.pid), 'the agent to end after its turn', 10_000)
}, 90_000)
