import {execFileSync} from 'node:child_process'
import {readFileSync} from 'node:fs'

/** What systems commonly grant, if the limit cannot be read. */
const usual = 1024

/** How many files this process may open: its soft limit, which Node raises to the hard one at its start. */
export function openFileLimit(): number {
  try {
    const found =
      process.platform === 'linux' ? limitInProc() : execFileSync('/bin/sh', ['-c', 'ulimit -n'], {encoding: 'utf8'})
    return found?.trim() === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(found) || usual
  } catch {
    return usual
  }
}

const limitInProc = () => /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
