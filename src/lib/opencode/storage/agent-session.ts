import * as v from 'valibot'
import {standInProvider, warmUpTitle} from '../program/stand-in.ts'
import {limits} from '../../protocol/limits.ts'
import {parseJson} from '../../protocol/parse.ts'

/** A session of OpenCode, from any kind of storage. Times are Unix ms. */
export type AgentSession = {
  id: string
  title: string | null
  directory: string
  projectId: string | null
  version: string | null
  created: number | null
  updated: number | null
  /** Number of messages. Null if the storage would have to read all of them. */
  messages: number | null
  summary: {additions: number | null; deletions: number | null; files: number | null} | null
}

/** A message and its parts as OpenCode's JSON. Not parsed, because most have not changed. */
export type AgentMessage = {id: string; info: string; parts: {id: string; data: string}[]}

/** Sessions of these directories, or of all others. */
export type SessionScope = {inside: readonly string[]} | {outside: readonly string[]}

export const isInScope = (directory: string, scope: SessionScope) =>
  'inside' in scope ? scope.inside.includes(directory) : !scope.outside.includes(directory)

/**
 * Reads one kind of storage. Omits sessions of subagents, and ids that are unsafe in a path. All methods block, so they
 * run in a thread. They throw StorageProblem.
 */
export interface SessionSource extends Disposable {
  /** The newest first, at most as many as a control plane stores. `only`: just this session. */
  sessions(scope: SessionScope, only?: string): AgentSession[]
  /** Oldest first. */
  messageIds(sessionId: string): string[]
  /** Undefined if it cannot be read, or not yet. */
  message(sessionId: string, messageId: string): AgentMessage | undefined
}

/** Whether an id is safe in paths and URLs. */
export const isAgentId = (id: unknown): id is string => typeof id === 'string' && /^[A-Za-z0-9_-]{1,255}$/.test(id)

/**
 * Whether a session shows nothing of the user's: a warm agent was tried in it, or nobody has said anything in it yet.
 * `firstMessage` reads the JSON of the first message; it is called for small sessions only.
 */
export function isOfWarmUp(
  {title, messages}: Pick<AgentSession, 'title' | 'messages'>,
  firstMessage: () => string | undefined,
): boolean {
  if (title === warmUpTitle) return true
  if (messages === null || messages > 2) return false
  if (messages === 0) return title?.startsWith(newTitle) === true
  return firstMessage()?.includes(`"providerID":"${standInProvider}"`) === true
}

/** How OpenCode begins the title of a session that has none yet. */
const newTitle = 'New session - '

/** Sorts newest first and drops more than a control plane stores. */
export const newestFirst = (sessions: AgentSession[]): AgentSession[] =>
  sessions.sort((a, b) => (b.updated ?? 0) - (a.updated ?? 0) || (a.id < b.id ? 1 : -1)).slice(0, limits.sessions)

export const maybeText = v.fallback(v.nullable(v.string()), null)
export const maybeNumber = v.fallback(v.nullable(v.pipe(v.number(), v.finite())), null)

const times = v.object({created: maybeNumber, updated: maybeNumber})
const summary = v.object({additions: maybeNumber, deletions: maybeNumber, files: maybeNumber})

/** The JSON of a session, in a file or from `export`. */
const sessionFileSchema = v.object({
  title: maybeText,
  directory: maybeText,
  projectID: maybeText,
  parentID: maybeText,
  version: maybeText,
  time: v.fallback(times, {created: null, updated: null}),
  summary: v.fallback(v.nullable(summary), null),
})

/** Undefined for subagents' and invalid sessions. `worktree` returns the directory of sessions that name none. */
export function readSessionJson(
  id: string,
  text: string,
  worktree: (projectId: string) => string | null = () => null,
): Omit<AgentSession, 'messages'> | undefined {
  const parsed = v.safeParse(sessionFileSchema, parseJson(text))
  if (!parsed.success || parsed.output.parentID !== null) return undefined
  const {title, directory, projectID: projectId, version, time, summary} = parsed.output
  const workingDirectory = directory ?? (projectId === null ? null : worktree(projectId))
  return workingDirectory === null
    ? undefined
    : {id, title, directory: workingDirectory, projectId, version, ...time, summary}
}
