import {fileURLToPath} from 'node:url'
import {systemClock} from '../../src/lib/core/clock.ts'
import type {Executor} from '../../src/lib/executor/executor.ts'
import {type RunExecutorOptions, createRunExecutor} from '../../src/lib/executor/ways/run-way.ts'
import {createCatalog} from '../../src/lib/opencode/program/catalog.ts'

/** An agent that runs its prompt as a shell script. */
export const stubBinary = fileURLToPath(new URL('../fixtures/agent-stub.sh', import.meta.url))

export const stubFlags = new Set(['--format', '--agent', '--model', '--session', '--title'])

/** The executor under test with the stub agent. The catalog stores its files in `scratchDir`. */
export function stubExecutor(scratchDir: string, rest: Partial<RunExecutorOptions> = {}): Executor {
  const env = {PATH: process.env['PATH'], HOME: scratchDir}
  const catalog = createCatalog({binary: stubBinary, env: () => env, clock: systemClock, scratchDir})
  const options = {
    binary: stubBinary,
    probe: {version: '1.18.0', flags: stubFlags},
    catalog,
    env,
    allow: [],
    clock: systemClock,
  }
  return createRunExecutor({...options, ...rest})
}
