import {setPriority} from 'node:os'
import {parentPort, workerData} from 'node:worker_threads'
import {createRedactor} from '../core/redaction/redact.ts'
import {isAgentId, type AgentSession, type SessionScope, type SessionSource} from '../opencode/storage/agent-session.ts'
import {sessionCommands, type CommandOptions} from '../opencode/storage/session-commands.ts'
import {sessionDatabase} from '../opencode/storage/session-database.ts'
import {StorageProblem, type SessionStorage, type StorageProblemKind} from '../opencode/storage/session-storage.ts'
import {sessionTree} from '../opencode/storage/session-tree.ts'
import {
  changedMessages,
  changedSessions,
  type MessagesQuery,
  type Page,
  type SessionPage,
  type SessionsQuery,
} from './changes.ts'

/** The data that the thread gets at its start. */
export type ThreadData = {secrets: readonly string[]; patterns: readonly string[]; commands: CommandOptions | undefined}

export type Queries = {
  /** `only`: just the session with this id. */
  list: {ask: {scope: SessionScope; maxSessions: number; only?: string}; answer: {sessions: AgentSession[]}}
  sessions: {ask: SessionsQuery; answer: SessionPage}
  messages: {ask: MessagesQuery; answer: Page}
}
export type QueryName = keyof Queries
export type Request = {
  id: number
  storage: SessionStorage
  name: QueryName
  ask: Queries[QueryName]['ask']
}
export type Reply = {id: number} & (
  | {value: Queries[QueryName]['answer']; warning: string | undefined}
  | {problem: {kind: StorageProblemKind; message: string; suggestions: string[]}}
  | {bug: string}
)

const {secrets, patterns, commands} = workerData as ThreadData
const redact = createRedactor(
  secrets,
  patterns.map((pattern) => new RegExp(pattern, 'u')),
)
// On Linux this affects only the thread: agents and tasks have priority.
if (process.platform === 'linux') setPriority(10)

parentPort?.on('message', (request: Request) => void reply(request))

async function reply({id, storage, name, ask}: Request): Promise<void> {
  try {
    using opened = await open(storage)
    const source = withCache(opened.source, storage)
    const value = opened.unknown ? answerByCommands(opened, name, ask) : answer(source, name, ask)
    const bytes = 'body' in value && value.body ? [value.body.buffer] : []
    parentPort?.postMessage({id, value, warning: opened.unknown?.message} satisfies Reply, bytes)
  } catch (error) {
    const failure: Reply =
      error instanceof StorageProblem
        ? {id, problem: {kind: error.kind, message: error.message, suggestions: error.suggestions}}
        : {id, bug: error instanceof Error ? (error.stack ?? error.message) : String(error)}
    parentPort?.postMessage(failure)
  }
}

let last: {key: string; sessions: AgentSession[]} | undefined

/** Caches the list: its pages are queried one after the other. It is read again when the storage has changed. */
function withCache(source: SessionSource, storage: SessionStorage): SessionSource {
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

/** If OpenCode's commands fail as well, the error names both reasons. */
function answerByCommands({source, unknown}: Opened, name: QueryName, ask: Request['ask']) {
  try {
    return answer(source, name, ask)
  } catch (error) {
    if (!(error instanceof StorageProblem) || !unknown) throw error
    throw new StorageProblem('unknown', `${unknown.message} Asked instead, ${error.message}`, unknown.suggestions)
  }
}

type Opened = Disposable & {source: SessionSource; unknown?: StorageProblem}

const opened = (source: SessionSource): Opened => ({source, [Symbol.dispose]: () => source[Symbol.dispose]()})

/** Opens a storage. One of an unknown format is read by OpenCode's own commands, if they are available. */
async function open({kind, path}: SessionStorage): Promise<Opened> {
  if (kind === 'tree') return opened(sessionTree(path))
  try {
    return opened(await sessionDatabase(path))
  } catch (error) {
    if (!(error instanceof StorageProblem) || error.kind !== 'unknown' || !commands) throw error
    return {...opened(sessionCommands(commands)), unknown: error}
  }
}

function answer(source: SessionSource, name: QueryName, ask: Request['ask']): Queries[QueryName]['answer'] {
  if (name === 'sessions') return changedSessions(source, ask as SessionsQuery, redact)
  if (name === 'list') {
    const {scope, maxSessions, only} = ask as Queries['list']['ask']
    return {sessions: source.sessions(scope, only).slice(0, maxSessions)}
  }

  const query = ask as MessagesQuery
  if (!isAgentId(query.sessionId)) throw new Error(`not a session's id: ${query.sessionId}`)
  return changedMessages(source, query, redact)
}
