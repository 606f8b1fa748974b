import {accessSync, constants} from 'node:fs'
import {realPathOf} from '../core/paths/real-path.ts'
import {findGitFolders} from './git-folders.ts'

/** What keeps git from working in a codebase, and how to mend it. */
export type RepositoryProblem = {text: string; fixes: string[]}

/** A user whose rights count instead of those of this process. */
export type OtherUser = {
  name: string
  uid: number
  /** Words before a command, so that it runs as that user. */
  words: readonly string[]
  may: (verb: 'read' | 'write', path: string) => boolean
}

/** Git folders of a codebase that this process, or another user, cannot use: commits fail then. They may be outside of the codebase. */
export function folderProblems(path: string, user?: OtherUser): RepositoryProblem[] {
  const git = findGitFolders(realPathOf(path))
  if (!git) return []
  return [
    ...[...new Set([git.common, git.own])].flatMap((folder) => problemWith(path, folder, 'write', user)),
    ...git.alternates.flatMap((folder) => problemWith(path, folder, 'read', user)),
  ]
}

type Verb = 'read' | 'write'

function problemWith(path: string, folder: string, verb: Verb, user: OtherUser | undefined): RepositoryProblem[] {
  if (user ? user.may(verb, folder) : mayAccess(verb, folder)) return []
  const who = user ? `the user ${user.name}` : 'this user'
  const name = user?.name ?? '"$(id -un)"'
  const rights = verb === 'write' ? 'rwX' : 'rX'
  return [
    {
      text: `the git of ${path} needs to ${verb} ${folder}, but ${who} cannot: commits fail`,
      fixes: [`setfacl -R -m u:${name}:${rights} -m d:u:${name}:${rights} ${folder}`],
    },
  ]
}

function mayAccess(verb: Verb, path: string): boolean {
  try {
    accessSync(path, verb === 'write' ? constants.R_OK | constants.W_OK : constants.R_OK)
    return true
  } catch {
    return false
  }
}
