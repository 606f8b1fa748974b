import {realpath} from 'node:fs/promises'
import type {SessionScope} from '../opencode/storage/agent-session.ts'

/** A codebase that sessions are synced to: those of its directory, or `rest`, those that belong to no other. */
export type CodebaseDirectory = {codebaseId: string; directory: string}
export const rest = 'rest'

/** A home with the sessions that are its own. */
export type ScopedDirectory = CodebaseDirectory & {scope: SessionScope}

/** OpenCode writes down the real path of a directory. */
export async function withScopes(homes: readonly CodebaseDirectory[]): Promise<ScopedDirectory[]> {
  const real = await Promise.all(
    homes.map(({directory}) => (directory === rest ? rest : realpath(directory).catch(() => directory))),
  )
  const outside = real.filter((directory) => directory !== rest)
  return homes.map((home, i) => {
    const directory = real[i] ?? home.directory
    return {...home, scope: directory === rest ? {outside} : {inside: [directory]}}
  })
}

/** The home of what runs in this directory. */
export async function directoryOf(
  homes: readonly CodebaseDirectory[],
  directory: string,
): Promise<ScopedDirectory | undefined> {
  const all = await withScopes(homes)
  const real = await realpath(directory).catch(() => directory)
  return (
    all.find(({scope}) => 'inside' in scope && scope.inside.includes(real)) ?? all.find(({scope}) => 'outside' in scope)
  )
}
