import {constants} from 'node:fs'
import {ExpectedError} from '../../core/errors.ts'
import {agentArguments, normalizeModel} from '../../opencode/program/command.ts'
import type {Catalog} from '../../opencode/program/catalog.ts'
import {lockFolder} from '../../opencode/program/stale-locks.ts'
import {type OpenCodeProbe, unsafeRun} from '../../opencode/program/probe.ts'
import {type AgentExecutorOptions, createAgentExecutor} from '../agent-executor.ts'
import type {AgentWay} from '../agent-way.ts'
import type {Executor} from '../executor.ts'
import {append, openFiles} from '../run-files.ts'
import {runFiles} from '../spool/file-names.ts'
import {checkedModel, checkAgent} from './check-request.ts'

export type OpenCodeOptions = {
  readonly binary: string
  readonly probe: Pick<OpenCodeProbe, 'version' | 'flags'>
  catalog: Catalog
  /** What becomes of a task whose model OpenCode does not have. */
  readonly unknownModel?: 'fail' | 'default' | undefined
  env: NodeJS.ProcessEnv
}

/** `opencode run --format json`: the prompt is its standard input, and its standard output is the spool. */
export const runWay = (options: OpenCodeOptions): AgentWay => ({
  name: 'OpenCode',
  get binary() {
    return options.binary
  },
  async plan(request) {
    const {catalog, probe} = options
    const unsafe = unsafeRun(probe)
    if (unsafe)
      throw new ExpectedError(unsafe.problem, {code: 'OPENCODE_UNSAFE', exit: 'config', suggestions: [unsafe.fix]})
    const wanted = normalizeModel(request.model)
    agentArguments({...request, model: wanted}, probe.flags) // refuses unsafe names before OpenCode is asked for them
    await checkAgent(catalog, request)
    const model = await checkedModel(wanted, options, request)
    return {args: agentArguments({...request, model}, probe.flags), model}
  },
  open: (runDir) =>
    openFiles(runDir, {stdin: [runFiles.prompt, constants.O_RDONLY], stdout: [runFiles.stdout, append]}),
  locks: () => lockFolder(options.env),
  usesPlugin: true,
})

export type RunExecutorOptions = OpenCodeOptions & AgentExecutorOptions

/** Creates the executor that runs each task in its own `opencode run`. */
export const createRunExecutor = (options: RunExecutorOptions): Executor =>
  createAgentExecutor(runWay(options), options)
