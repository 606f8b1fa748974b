import {readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {errorCode, messageOf} from '../../core/errors.ts'
import {parseJson} from '../../protocol/parse.ts'
import {
  isAgentId,
  isInScope,
  newestFirst,
  readSessionJson,
  type AgentSession,
  type SessionScope,
  type SessionSource,
} from './agent-session.ts'
import {forbiddenProblem, isForbidden, StorageProblem} from './session-storage.ts'

/** Reads the sessions of OpenCode up to 1.1: one JSON file per session, message and part. */
export function sessionTree(storage: string): SessionSource {
  const names = (...path: string[]) => jsonNames(storage, join(storage, ...path))
  const read = (...path: string[]) => readText(storage, join(storage, ...path))
  const worktrees = new Map<string, string | null>()
  const worktree = (projectId: string) => {
    if (!isAgentId(projectId)) return null
    const known = worktrees.get(projectId)
    if (known !== undefined) return known
    const project = parseJson(read('project', `${projectId}.json`) ?? '') as {worktree?: unknown} | undefined
    const found = typeof project?.worktree === 'string' ? project.worktree : null
    worktrees.set(projectId, found)
    return found
  }

  return {
    sessions(scope: SessionScope, only?: string): AgentSession[] {
      const found: AgentSession[] = []
      for (const project of names('session'))
        for (const id of names('session', project).filter((name) => only === undefined || name === only)) {
          const session = readSessionJson(id, read('session', project, `${id}.json`) ?? '', worktree)
          if (session && isInScope(session.directory, scope))
            found.push({...session, messages: names('message', id).length})
        }

      return newestFirst(found)
    },
    // Ids of messages and parts increase with time.
    messageIds: (sessionId) => names('message', sessionId),
    message(sessionId, id) {
      const info = read('message', sessionId, `${id}.json`)
      if (info === undefined) return undefined
      const parts = names('part', id).flatMap((part) => {
        const data = read('part', id, `${part}.json`)
        return data === undefined ? [] : [{id: part, data}]
      })
      return {id, info, parts}
    },
    [Symbol.dispose]() {},
  }
}

/** Names of folders and files that are ids, sorted, without extensions. */
function jsonNames(storage: string, folder: string): string[] {
  try {
    return readdirSync(folder)
      .map((name) => name.replace(/\.json$/, ''))
      .filter(isAgentId)
      .sort()
  } catch (error) {
    return ignoreMissing(storage, error) ?? []
  }
}

/** Undefined for a missing file. */
function readText(storage: string, path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    return ignoreMissing(storage, error)
  }
}

/** Returns undefined for a missing file or folder. Throws StorageProblem for anything else. */
function ignoreMissing(storage: string, error: unknown): undefined {
  if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes(errorCode(error) ?? '')) return undefined
  if (isForbidden(error)) throw forbiddenProblem(storage, error)
  throw new StorageProblem('busy', `OpenCode's sessions at ${storage} cannot be read: ${messageOf(error)}.`, [], error)
}
