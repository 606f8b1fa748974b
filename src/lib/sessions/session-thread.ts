import {setPriority} from 'node:os'
import {parentPort, workerData} from 'node:worker_threads'
import {createRedactor} from '../core/redact.ts'
import {isAgentId, type AgentSession, type SessionScope, type SessionSource} from '../opencode/storage/agent-session.ts'
import {sessionCommands, type CommandOptions} from '../opencode/storage/session-commands.ts'
import {sessionDatabase} from '../opencode/storage/session-database.ts'
import {StorageProblem, type SessionStorage, type StorageProblemKind} from '../opencode/storage/session-storage.ts'
import {sessionTree} from '../opencode/storage/session-tree.ts'
import {
  changedMessages,
  changedSessions,
  type MessagesQuestion,
  type Page,
  type SessionPage,
  type SessionsQuestion,
} from './changes.ts'

/** What the thread is given at its start. */
export type ThreadData = {secrets: readonly string[]; patterns: readonly string[]; commands: CommandOptions | undefined}

export type Questions = {
  /** `only`: none but the one of this id. */
  list: {ask: {scope: SessionScope; most: number; only?: string}; answer: {sessions: AgentSession[]}}
  sessions: {ask: SessionsQuestion; answer: SessionPage}
  messages: {ask: MessagesQuestion; answer: Page}
}
export type QuestionName = keyof Questions
export type Request = {
  id: number
  storage: SessionStorage
  name: QuestionName
  ask: Questions[QuestionName]['ask']
}
export type Reply = {id: number} & (
  | {value: Questions[QuestionName]['answer']; warning: string | undefined}
  | {problem: {kind: StorageProblemKind; message: string; suggestions: string[]}}
  | {bug: string}
)

const {secrets, patterns, commands} = workerData as ThreadData
const redact = createRedactor(
  secrets,
  patterns.map((pattern) => new RegExp(pattern, 'u')),
)
// On Linux this is the thread alone: agents and tasks go first.
if (process.platform === 'linux') setPriority(10)

parentPort?.on('message', (request: Request) => void reply(request))

async function reply({id, storage, name, ask}: Request): Promise<void> {
  try {
    using opened = await open(storage)
    const source = remembering(opened.source, storage)
    const value = opened.unknown ? byCommands(opened, name, ask) : answer(source, name, ask)
    const bytes = 'body' in value && value.body ? [value.body.buffer] : []
    parentPort?.postMessage({id, value, warning: opened.unknown?.message} satisfies Reply, bytes)
  } catch (error) {
    const said: Reply =
      error instanceof StorageProblem
        ? {id, problem: {kind: error.kind, message: error.message, suggestions: error.suggestions}}
        : {id, bug: error instanceof Error ? (error.stack ?? error.message) : String(error)}
    parentPort?.postMessage(said)
  }
}

let last: {key: string; sessions: AgentSession[]} | undefined

/** The pages of a long list are asked for one after the other: it is read once, unless the storage changes meanwhile. */
function remembering(source: SessionSource, storage: SessionStorage): SessionSource {
  if (storage.kind === 'tree') return source
  return {
    ...source,
    sessions(scope, only) {
      if (only !== undefined) return source.sessions(scope, only)
      const key = JSON.stringify([storage, scope])
      last = last?.key === key ? last : {key, sessions: source.sessions(scope)}
      return last.sessions
    },
  }
}

/** When these fail too, both is said. */
function byCommands({source, unknown}: Opened, name: QuestionName, ask: Request['ask']) {
  try {
    return answer(source, name, ask)
  } catch (error) {
    if (!(error instanceof StorageProblem) || !unknown) throw error
    throw new StorageProblem('unknown', `${unknown.message} Asked instead, ${error.message}`, unknown.suggestions)
  }
}

type Opened = Disposable & {source: SessionSource; unknown?: StorageProblem}

const opened = (source: SessionSource): Opened => ({source, [Symbol.dispose]: () => source[Symbol.dispose]()})

/** A storage of a kind that is not known here is left to OpenCode's own commands, where there are any. */
async function open({kind, path}: SessionStorage): Promise<Opened> {
  if (kind === 'tree') return opened(sessionTree(path))
  try {
    return opened(await sessionDatabase(path))
  } catch (error) {
    if (!(error instanceof StorageProblem) || error.kind !== 'unknown' || !commands) throw error
    return {...opened(sessionCommands(commands)), unknown: error}
  }
}

function answer(source: SessionSource, name: QuestionName, ask: Request['ask']): Questions[QuestionName]['answer'] {
  if (name === 'sessions') return changedSessions(source, ask as SessionsQuestion, redact)
  if (name === 'list') {
    const {scope, most, only} = ask as Questions['list']['ask']
    return {sessions: source.sessions(scope, only).slice(0, most)}
  }

  const question = ask as MessagesQuestion
  if (!isAgentId(question.sessionId)) throw new Error(`not a session's id: ${question.sessionId}`)
  return changedMessages(source, question, redact)
}
