import {accessSync, constants} from 'node:fs'
import {outsideFolders} from './outside-folders.ts'

/** What keeps git from working in a codebase, and how to mend it. */
export type RepositoryProblem = {text: string; fixes: string[]}

/** Folders outside of a codebase that its git needs and this process cannot use: commits fail then. */
export function folderProblems(path: string): RepositoryProblem[] {
  const {writable, readable} = outsideFolders(path)
  return [
    ...writable.flatMap((folder) => problemWith(folder, 'write', constants.R_OK | constants.W_OK)),
    ...readable.flatMap((folder) => problemWith(folder, 'read', constants.R_OK)),
  ]
}

function problemWith(folder: string, verb: 'read' | 'write', mode: number): RepositoryProblem[] {
  try {
    accessSync(folder, mode)
    return []
  } catch {
    const text = `its git needs to ${verb} ${folder}, but this user cannot: commits fail`
    const rights = verb === 'write' ? 'rwX' : 'rX'
    return [{text, fixes: [`setfacl -R -m u:"$(id -un)":${rights} -m d:u:"$(id -un)":${rights} ${folder}`]}]
  }
}
