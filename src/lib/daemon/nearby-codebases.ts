import {existsSync, readdirSync} from 'node:fs'
import {join} from 'node:path'
import {realPathOf} from '../core/paths/real-path.ts'

/** Folders in which people keep their repositories, in the home folder. */
const usualFolders = ['src', 'code', 'projects', 'repos', 'dev', 'work', 'git', 'Projects', 'Code']
const maxFound = 30
/** A folder with more entries is not looked through: this must take no time. */
const maxEntries = 500

/**
 * Git repositories that may be meant: the current directory or the one around it, those in it, those beside it, and those
 * in the usual folders of the home. Nearest first, real paths, without doubles.
 */
export function nearbyCodebases(directory: string, home: string): string[] {
  const found = new Set<string>()
  const add = (path: string) => {
    if (found.size < maxFound && existsSync(join(path, '.git'))) found.add(realPathOf(path))
  }
  for (let path = directory; ; path = join(path, '..')) {
    if (realPathOf(path) === realPathOf(home) || path === '/') break
    add(path)
    if (found.size > 0) break
  }
  const places = [directory, ...(found.size > 0 ? [join([...found][0] ?? '', '..')] : []), home]
  for (const place of [...places, ...usualFolders.map((name) => join(home, name))])
    for (const name of foldersIn(place)) add(join(place, name))
  return [...found]
}

function foldersIn(path: string): string[] {
  try {
    const entries = readdirSync(path, {withFileTypes: true})
    if (entries.length > maxEntries) return []
    return entries
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== 'node_modules')
      .map(({name}) => name)
      .toSorted()
  } catch {
    return []
  }
}
