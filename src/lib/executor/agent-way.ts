import type {Clock} from '../core/clock.ts'
import type {Drive} from './acp/drive-agent.ts'
import type {RunObserver, RunRequest} from './executor.ts'
import type {OpenRunFiles} from './run-files.ts'

/** How a kind of agent is run. */
export type AgentWay = {
  /** Name of the program, for people. */
  readonly name: string
  readonly binary: string
  /** Refuses what it can before anything is written: throws ExpectedError. Otherwise returns the arguments and the model. */
  plan(request: RunRequest): Promise<{args: readonly string[]; model: string | undefined}>
  /** Opens the agent's streams in the folder of the run. */
  open(runDir: string): OpenRunFiles
  /** Begins the conversation with an agent that has one. Called right before its start. */
  converse?(run: ConversationOptions): () => Drive
  /** The folder with the locks that end with its processes. */
  locks?(): string | undefined
  /** Whether it loads our plugin for OpenCode. */
  readonly usesPlugin: boolean
  /** Names of further variables that it may see. */
  readonly allow?: readonly string[]
}

export type ConversationOptions = {
  request: RunRequest
  model: string | undefined
  clock: Clock
  observer: RunObserver
  hasReporter: boolean
}
