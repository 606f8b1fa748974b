import {accessSync, constants} from 'node:fs'
import {realPathOf} from '../core/paths/real-path.ts'
import {findGitFolders} from './git-folders.ts'

/** What keeps git from working in a codebase, and how to mend it. */
export type RepositoryProblem = {text: string; fixes: string[]}

/** Git folders of a codebase that this process cannot use: commits fail then. They may be outside of the codebase. */
export function folderProblems(path: string): RepositoryProblem[] {
  const git = findGitFolders(realPathOf(path))
  if (!git) return []
  return [
    ...[...new Set([git.common, git.own])].flatMap((folder) => problemWith(path, folder, 'write')),
    ...git.alternates.flatMap((folder) => problemWith(path, folder, 'read')),
  ]
}

function problemWith(path: string, folder: string, verb: 'read' | 'write'): RepositoryProblem[] {
  try {
    accessSync(folder, verb === 'write' ? constants.R_OK | constants.W_OK : constants.R_OK)
    return []
  } catch {
    const text = `the git of ${path} needs to ${verb} ${folder}, but this user cannot: commits fail`
    const rights = verb === 'write' ? 'rwX' : 'rX'
    return [{text, fixes: [`setfacl -R -m u:"$(id -un)":${rights} -m d:u:"$(id -un)":${rights} ${folder}`]}]
  }
}
