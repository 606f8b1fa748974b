import {closeSync, openSync, readFileSync, readSync, realpathSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {readIfThere} from '../../core/paths/read-if-there.ts'

/** Paths where npm installs the program for this platform, in `folder` or above it, the best one first. */
export function platformPrograms(folder: string): string[] {
  const base = `opencode-${process.platform}-${process.arch}`
  const names = hasFullSpeed() ? [base, `${base}-baseline`] : [`${base}-baseline`, base]
  const all = [...names, ...names.map((name) => `${name}-musl`)]
  return ancestors(folder).flatMap((parent) => all.map((name) => join(parent, 'node_modules', name, 'bin', 'opencode')))
}

/** Without AVX2, only the program called baseline runs. */
const hasFullSpeed = () => process.arch !== 'x64' || /\bavx2\b|^$/.test(readIfThere('/proc/cpuinfo') ?? '')

function ancestors(folder: string): string[] {
  const parent = dirname(folder)
  return parent === folder ? [folder] : [folder, ...ancestors(parent)]
}

/**
 * The package opencode-ai 1.1 to 1.14 installs a Node script that starts the program with a blocking spawn, so a signal
 * to the script never reaches the program. Later ones install a script that only says that the package is not complete,
 * if their install script was not run: npm 12 and pnpm run none by themselves. Returns the program itself, if it can be
 * found from the script, else the path.
 */
export function behindLauncher(path: string, isExecutable: (path: string) => boolean): string {
  if (!isLauncher(path)) return path
  const folder = dirname(realpathSync(path))
  // Any other script was installed on purpose.
  if (!isOfOpenCode(folder)) return path
  return [join(folder, '.opencode'), ...platformPrograms(folder)].find((program) => isExecutable(program)) ?? path
}

function isOfOpenCode(folder: string): boolean {
  try {
    const {name} = JSON.parse(readFileSync(join(folder, '..', 'package.json'), 'utf8')) as {name?: unknown}
    return name === 'opencode-ai'
  } catch {
    return false
  }
}

function isLauncher(path: string): boolean {
  try {
    const fd = openSync(path, 'r')
    try {
      const head = Buffer.alloc(64)
      const length = readSync(fd, head)
      return /^(?:#!.*\bnode\b|echo "Error: opencode-ai's postinstall)/.test(head.toString('latin1', 0, length))
    } finally {
      closeSync(fd)
    }
  } catch {
    return false
  }
}
