import {closeSync, openSync, readFileSync, writeSync} from 'node:fs'
import {passwordsIn, secretName} from './secret-names.ts'

/** Fields of /proc/PID/stat (proc(5)), counted from the third: where arguments and environment begin in memory. */
const blocks = {cmdline: 45, environ: 47} as const

/**
 * Overwrites secrets in what /proc/PID/cmdline and /proc/PID/environ show of this process: the values of variables that
 * are named like secrets, and the passwords of URLs. The kernel shows these two to each process of the same user, agents
 * included, as they were when the program was started. `env` is the live environment of Node, which keeps its values. Does nothing
 * where a process cannot write to its own memory by /proc.
 */
export function hideFromProc(env: NodeJS.ProcessEnv, args: readonly string[]): void {
  const secrets = args.flatMap(passwordsIn)
  for (const [name, value = ''] of Object.entries(env)) {
    const found = secretName.test(name) && value !== '' ? [value] : passwordsIn(value)
    if (found.length === 0) continue
    secrets.push(...found)
    env[name] = value // moves it to other memory, so that only the old copy is overwritten
  }

  if (secrets.length === 0) return
  try {
    overwrite(secrets.map((secret) => Buffer.from(secret)))
  } catch {
    // No Linux, or a system that forbids it.
  }
}

function overwrite(secrets: readonly Buffer[]): void {
  const stat = readFileSync('/proc/self/stat', 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const memory = openSync('/proc/self/mem', 'r+')
  try {
    for (const [name, field] of Object.entries(blocks)) {
      const start = Number(fields[field])
      const shown = readFileSync(`/proc/self/${name}`)
      for (const {at, length} of secrets.flatMap((secret) => occurrences(shown, secret)))
        writeSync(memory, Buffer.alloc(length, '*'), 0, length, start + at)
    }
  } finally {
    closeSync(memory)
  }
}

function occurrences(text: Buffer, part: Buffer): {at: number; length: number}[] {
  const found: {at: number; length: number}[] = []
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length))
    found.push({at, length: part.length})
  return found
}
