// The same tasks with both executors of OpenCode, the real program and the scripted model. `npm run proof:parity` tries
// the complete table; the ordinary tests try the first rows.
import {execFileSync} from 'node:child_process'
import {mkdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, expect, test} from 'vitest'
import {systemClock} from '../../src/lib/core/clock.ts'
import type {Executor, RunRequest} from '../../src/lib/executor/executor.ts'
import {createAgentExecutor} from '../../src/lib/executor/agent-executor.ts'
import {openCodeAcpWay} from '../../src/lib/executor/ways/opencode-acp.ts'
import {createRunExecutor} from '../../src/lib/executor/ways/run-way.ts'
import {createCatalog} from '../../src/lib/opencode/program/catalog.ts'
import {installReporter} from '../../src/lib/opencode/program/reporter.ts'
import {processesOf, recordingObserver, relaxed, requestFor, startRun} from '../support/agent-run.ts'
import {openCode, startModel} from '../support/scripted-model.ts'
import {scratchFolder} from '../support/scratch.ts'
import {stubFlags} from '../support/stub-executor.ts'
import {waitFor} from '../support/wait-for.ts'

/** `keepsMore`: over the protocol more of the work is kept than OpenCode prints. */
type Case = {prompt: string; rest?: Partial<RunRequest>; cancels?: boolean; keepsMore?: boolean}

const silent = {deadlines: {...relaxed, startup: 10_000, idle: 5000, tool: 5000, grace: 1000}}
const cases: Record<string, Case> = {
  'an edit': {prompt: '[fake:edit path=hello.txt text="hi\n"]'},
  'an error of the provider: 401': {prompt: '[fake:error status=401 say="bad key"]'},
  'a cancellation in a shell command': {prompt: '[fake:bash cmd="sleep 300"]', cancels: true, keepsMore: true},
  'an answer only': {prompt: 'just text'},
  'a failed shell command': {prompt: '[fake:bash cmd="exit 3"]'},
  'an error of the provider: 400': {prompt: '[fake:error status=400 say=nope]'},
  'an error of the provider: 500 with retries': {prompt: '[fake:error status=500 times=1 retry_after=1]'},
  'a rate limit that ends': {prompt: '[fake:error status=429 times=1 retry_after=2]'},
  'a denied permission': {prompt: '[fake:read path=/etc/hostname]'},
  'a subagent': {prompt: '[fake:task prompt="[fake:text say=sub]"]'},
  'a context that is too long': {prompt: '[fake:overflow]'},
  'an empty answer': {prompt: '[fake:empty]'},
  reasoning: {prompt: '[fake:think thought=deep say=Answer]'},
  'an answer of 2 MB': {prompt: '[fake:big bytes=2000000]'},
  'a model that never answers': {prompt: '[fake:hang]', rest: silent},
  'an answer that stalls': {prompt: '[fake:stall say=begun]', rest: silent, keepsMore: true},
  'a background process of a tool': {prompt: '[fake:bash cmd="setsid sleep 300 >/dev/null 2>&1 &"]'},
}
const isComplete = process.env['A2A_PARITY'] === 'all'
const names = Object.keys(cases).slice(0, isComplete ? undefined : 2)

const scratch = scratchFolder()
const model = await startModel()
afterAll(async () => {
  await model[Symbol.asyncDispose]()
  scratch[Symbol.dispose]()
})
const path = join(scratch.path, 'codebase')
mkdirSync(path)
mkdirSync(join(scratch.path, 'home'))
execFileSync('git', ['init', '-q'], {cwd: path})
const env = {PATH: process.env['PATH'], HOME: join(scratch.path, 'home'), ...model.env}
const options = {
  ...{binary: openCode, env, allow: [], clock: systemClock},
  probe: {version: '1.18.33', flags: stubFlags},
  catalog: createCatalog({binary: openCode, env: () => env, clock: systemClock, scratchDir: scratch.path}),
  policy: {permissions: 'deny', askMs: 0},
  reporter: installReporter(scratch.path),
} as const
const executors = {run: createRunExecutor(options), acp: createAgentExecutor(openCodeAcpWay(options), options)}

/** What both executors must agree on. */
async function outcomeOf(executor: Executor, {prompt, rest, cancels = false}: Case) {
  const {observed, observer} = recordingObserver()
  const made = requestFor(scratch.path, prompt, {deadlines: {...relaxed, grace: 1000}, ...rest})
  const agent = await startRun(executor, made, observer)
  if (cancels) {
    await waitFor(() => observed.states.some((state) => state.startsWith('tool')), 'the tool to run', 60_000)
    agent.stop({status: 'cancelled', error: 'by a person'})
  }
  const {status, error, result, usage, provider, hasBegun} = await agent.outcome
  const tools = readFileSync(join(made.runDir, 'stdout.ndjson'), 'utf8').match(
    /"type":"tool","tool":"\w+"|"tool":"\w+","callID"/g,
  )
  return {
    ...{status, hasBegun, result, left: processesOf(made.marker)},
    // A silent agent is described by its log, which differs.
    error: error?.split(';')[0]?.replace(/ \(startup_timeout\)| \(idle_timeout\)/, '') ?? null,
    tools: tools?.length ?? 0,
    usage: [usage.input > 0, usage.output > 0, usage.cost.toFixed(3)],
    provider: provider?.kind,
  }
}

test.each(names)(
  '%s ends alike with opencode run and with opencode acp',
  async (name) => {
    const given = cases[name] ?? {prompt: ''}
    const run = await outcomeOf(executors.run, given)
    const acp = await outcomeOf(executors.acp, given)
    const kept = given.keepsMore ? {result: run.result, tools: run.tools} : {}
    expect({...acp, ...kept}).toEqual(run)
    expect(run.left).toEqual([])
  },
  180_000,
)
