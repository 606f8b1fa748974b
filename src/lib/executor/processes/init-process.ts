import {readFileSync} from 'node:fs'
import {basename} from 'node:path'
import {countZombies} from './processes.ts'

/** What to do about it, for each kind of container. */
export const initFix = 'docker run --init … (Compose: init: true; Kubernetes: an image whose entry point is tini)'

/** So many zombies are no coincidence. */
const manyZombies = 10

/**
 * Why processes that have ended are not removed from the process table here, or undefined if they are. The kernel gives
 * orphans of agents to process 1, which must reap them. Node reaps only what it has started itself, and cannot do more.
 */
export function initProblem(): string | undefined {
  const program = programOf('/proc/1/cmdline')
  const zombies = countZombies(1)
  const count = zombies > 0 ? ` (${zombies} zombies now)` : ''
  if (/^(?:node|nodejs|npm|npx|yarn|pnpm|a2a-worker)$/.test(program))
    return `process 1 of this container is ${program}, which does not reap the ended processes of agents${count}`
  if (zombies >= manyZombies) return `process 1 (${program}) does not reap ended processes${count}`
  return undefined
}

/** Name of the program. A title that a program has given itself takes the place of its arguments. */
function programOf(path: string): string {
  try {
    return basename(readFileSync(path, 'utf8').split(/[\0 ]/)[0] ?? '')
  } catch {
    return ''
  }
}
