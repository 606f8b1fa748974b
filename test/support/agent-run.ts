import {mkdirSync} from 'node:fs'
import {join} from 'node:path'
import type {Deadlines, Executor, RunObserver, RunRequest} from '../../src/lib/executor/executor.ts'
import type {ProcessIdentity} from '../../src/lib/executor/processes/processes.ts'
import type {InputResult, OpenQuestion} from '../../src/lib/protocol/task-input.ts'
import {listProcesses, markerOf} from '../../src/lib/executor/processes/processes.ts'

export const relaxed: Deadlines = {
  startup: 60_000,
  idle: 60_000,
  tool: 60_000,
  total: 120_000,
  provider: 900_000,
  grace: 1000,
}

/** Everything that an executor has reported about a run. */
export type RunObservations = {
  spawned: ProcessIdentity[]
  sessions: string[]
  activities: string[]
  texts: string[]
  warnings: string[]
  waits: (string | undefined)[]
  states: string[]
  questions: (readonly OpenQuestion[])[]
  inputs: InputResult[]
}

export function recordingObserver(): {observed: RunObservations; observer: RunObserver} {
  const observed: RunObservations = {
    ...{
      spawned: [],
      sessions: [],
      activities: [],
      texts: [],
      warnings: [],
      waits: [],
      states: [],
      questions: [],
      inputs: [],
    },
  }
  const observer: RunObserver = {
    onSpawned: (identity) => observed.spawned.push(identity),
    onExited: () => {},
    onSession: (id) => {
      if (observed.sessions.at(-1) !== id) observed.sessions.push(id)
    },
    onActivity: (line, text) => {
      observed.activities.push(line)
      if (text !== undefined) observed.texts.push(text)
    },
    onWarning: (text) => observed.warnings.push(text),
    redact: (text) => text,
    onQuestions: (questions) => observed.questions.push(questions),
    onInput: (result) => observed.inputs.push(result),
    onState: ({state, what}) => observed.states.push([state, what].filter(Boolean).join(' ')),
    onProviderWait: (wait) => observed.waits.push(wait?.message),
  }
  return {observed, observer}
}

let runs = 0

/** A run of `prompt` in a new run folder below `root`, with a unique marker. */
export function requestFor(root: string, prompt: string, rest: Partial<RunRequest> = {}): RunRequest {
  runs += 1
  const runDir = join(root, `run-${runs}`)
  const cwd = rest.cwd ?? join(root, 'codebase')
  mkdirSync(runDir, {recursive: true, mode: 0o700})
  mkdirSync(cwd, {recursive: true})
  const marker = `test-${process.pid}-${Date.now()}-${runs}`
  const names = {taskId: `task-${runs}`, attempt: 1, title: 'A task', agent: 'build'}
  return {...names, prompt, cwd, runDir, marker, deadlines: relaxed, ...rest}
}

/** Prepares and starts a run. */
export const startRun = async (executor: Executor, request: RunRequest, observer: RunObserver) =>
  (await executor.prepare(request)).start(observer)

/** Starts a run and waits for its end. */
export async function runToEnd(executor: Executor, request: RunRequest) {
  const {observed, observer} = recordingObserver()
  const agent = await startRun(executor, request, observer)
  return {observed, outcome: await agent.outcome}
}

/** The live processes with this marker. */
export const processesOf = (marker: string): number[] =>
  listProcesses()
    .filter(({pid}) => markerOf(pid) === marker)
    .map(({pid}) => pid)
