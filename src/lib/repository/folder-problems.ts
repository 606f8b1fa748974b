import {accessSync, constants} from 'node:fs'
import {outsideFolders} from './outside-folders.ts'

/** What keeps git from working in a codebase, and how to mend it. */
export type RepositoryProblem = {text: string; fixes: string[]}

/** Folders outside of a codebase that its git needs and this process cannot use: commits fail then. */
export function folderProblems(path: string): RepositoryProblem[] {
  const {writable, readable} = outsideFolders(path)
  return [
    ...writable.flatMap((folder) => problemWith(path, folder, 'write')),
    ...readable.flatMap((folder) => problemWith(path, folder, 'read')),
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
