import {createHash} from 'node:crypto'
import {readdirSync, statSync} from 'node:fs'
import {dirname, join} from 'node:path'

/** Files of a codebase, and of the folders above it, that an agent reads once at its start. */
const configFiles = ['opencode.json', 'opencode.jsonc', 'AGENTS.md', 'CLAUDE.md', 'CONTEXT.md']
const configFolder = '.opencode'
const maxEntries = 1000

export type FingerprintOptions = {
  cwd: string
  binary: string
  /** The complete environment of the agent, without what differs between agents. */
  env: Readonly<Record<string, string>>
}

/**
 * What an agent's process depends on and keeps until it ends: program, environment with keys and permissions,
 * configuration and instructions. An agent with another fingerprint is not used for a task.
 */
export function fingerprintOf({cwd, binary, env}: FingerprintOptions): string {
  const home = env['HOME'] ?? '/'
  const config = env['XDG_CONFIG_HOME'] ?? join(home, '.config')
  const data = env['XDG_DATA_HOME'] ?? join(home, '.local/share')
  const hash = createHash('sha256')
  for (const [name, value] of Object.entries(env).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(`${name}=${value}\n`)
  for (const path of [binary, join(data, 'opencode/auth.json'), join(home, '.claude/CLAUDE.md')])
    hash.update(stampOf(path))
  for (const folder of [join(config, 'opencode'), join(home, configFolder)]) hash.update(stampsIn(folder))
  for (const folder of withParents(cwd)) {
    for (const name of configFiles) hash.update(stampOf(join(folder, name)))
    hash.update(stampsIn(join(folder, configFolder)))
  }
  return hash.digest('hex')
}

/** Of a file: a folder changes with whatever is written there. */
function stampOf(path: string): string {
  const stats = statSync(path, {throwIfNoEntry: false})
  return stats?.isFile() ? `${path} ${stats.ino} ${stats.size} ${stats.mtimeMs}\n` : ''
}

/** Two levels are enough for agents, commands and plugins. */
function stampsIn(folder: string): string {
  return entriesOf(folder)
    .flatMap((path) => [path, ...entriesOf(path)])
    .slice(0, maxEntries)
    .map((path) => stampOf(path))
    .join('')
}

/** What OpenCode itself installs in its folders at its first start is not configuration. */
const installed = new Set(['node_modules', 'package.json', 'package-lock.json', 'bun.lock', '.gitignore'])

function entriesOf(folder: string): string[] {
  try {
    const names = readdirSync(folder).filter((name) => !installed.has(name))
    return names.toSorted().map((name) => join(folder, name))
  } catch {
    return []
  }
}

function withParents(folder: string): string[] {
  const parent = dirname(folder)
  return parent === folder ? [folder] : [folder, ...withParents(parent)]
}
