import {realpath} from 'node:fs/promises'
import type {SessionScope} from '../opencode/storage/agent-session.ts'

/** A codebase and the directory of its sessions. `rest` stands for all sessions of no other codebase. */
export type CodebaseDirectory = {codebaseId: string; directory: string}
export const elsewhere = 'rest'

/** A codebase with the scope of its sessions. */
export type ScopedDirectory = CodebaseDirectory & {scope: SessionScope}

/** Adds the scopes. They contain real paths, because OpenCode stores those. */
export async function withScopes(directories: readonly CodebaseDirectory[]): Promise<ScopedDirectory[]> {
  const real = await Promise.all(
    directories.map(({directory}) =>
      directory === elsewhere ? elsewhere : realpath(directory).catch(() => directory),
    ),
  )
  const outside = real.filter((directory) => directory !== elsewhere)
  return directories.map((codebase, i) => {
    const directory = real[i] ?? codebase.directory
    return {...codebase, scope: directory === elsewhere ? {outside} : {inside: [directory]}}
  })
}

/** The codebase whose sessions include those of a directory. */
export async function directoryOf(
  directories: readonly CodebaseDirectory[],
  directory: string,
): Promise<ScopedDirectory | undefined> {
  const all = await withScopes(directories)
  const real = await realpath(directory).catch(() => directory)
  return (
    all.find(({scope}) => 'inside' in scope && scope.inside.includes(real)) ?? all.find(({scope}) => 'outside' in scope)
  )
}
