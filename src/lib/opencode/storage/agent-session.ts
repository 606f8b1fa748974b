import * as v from 'valibot'
import {limits} from '../../protocol/limits.ts'
import {parseJson} from '../../protocol/parse.ts'

/** A session as OpenCode keeps it, from whatever kind of storage. Times are ms since 1970. */
export type AgentSession = {
  id: string
  title: string | null
  directory: string
  projectId: string | null
  version: string | null
  created: number | null
  updated: number | null
  /** Undefined where the storage does not tell without reading all of them. */
  messages: number | null
  summary: {additions: number | null; deletions: number | null; files: number | null} | null
}

/** A message and its parts as the JSON that OpenCode wrote: not parsed yet, since most have not changed. */
export type AgentMessage = {id: string; info: string; parts: {id: string; data: string}[]}

/** Sessions of these directories, or of all others. */
export type SessionScope = {inside: readonly string[]} | {outside: readonly string[]}

export const isInScope = (directory: string, scope: SessionScope) =>
  'inside' in scope ? scope.inside.includes(directory) : !scope.outside.includes(directory)

/**
 * One kind of storage. Subagents' sessions, and what has an id that could not be part of a path, are left out. All
 * methods block: they are for a thread of their own. They throw StorageProblem.
 */
export interface SessionSource extends Disposable {
  /** The newest first, no more than a server keeps; `only`: none but this one. */
  sessions(scope: SessionScope, only?: string): AgentSession[]
  /** The oldest first. */
  messageIds(sessionId: string): string[]
  /** Undefined where it cannot be read, or not yet. */
  message(sessionId: string, messageId: string): AgentMessage | undefined
}

/** Ids become parts of paths and addresses. */
export const isAgentId = (id: unknown): id is string => typeof id === 'string' && /^[A-Za-z0-9_-]{1,255}$/.test(id)

/** The newest first, no more than a server keeps. */
export const newestOf = (sessions: AgentSession[]): AgentSession[] =>
  sessions.sort((a, b) => (b.updated ?? 0) - (a.updated ?? 0) || (a.id < b.id ? 1 : -1)).slice(0, limits.sessions)

export const maybeText = v.fallback(v.nullable(v.string()), null)
export const maybeNumber = v.fallback(v.nullable(v.pipe(v.number(), v.finite())), null)

const times = v.object({created: maybeNumber, updated: maybeNumber})
const summary = v.object({additions: maybeNumber, deletions: maybeNumber, files: maybeNumber})

/** A session's JSON, in a file or of `export`. */
const sessionFileSchema = v.object({
  title: maybeText,
  directory: maybeText,
  projectID: maybeText,
  parentID: maybeText,
  version: maybeText,
  time: v.fallback(times, {created: null, updated: null}),
  summary: v.fallback(v.nullable(summary), null),
})

/** Undefined for a subagent's session, and for what is no session. `worktree`: where those without a directory were. */
export function readSessionJson(
  id: string,
  text: string,
  worktree: (projectId: string) => string | null = () => null,
): Omit<AgentSession, 'messages'> | undefined {
  const parsed = v.safeParse(sessionFileSchema, parseJson(text))
  if (!parsed.success || parsed.output.parentID !== null) return undefined
  const {title, directory, projectID: projectId, version, time, summary} = parsed.output
  const place = directory ?? (projectId === null ? null : worktree(projectId))
  return place === null ? undefined : {id, title, directory: place, projectId, version, ...time, summary}
}
