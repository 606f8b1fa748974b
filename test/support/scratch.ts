import {execFileSync} from 'node:child_process'
import {mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

/** A folder of its own, gone when disposed. */
export function scratchFolder(): Disposable & {path: string} {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'a2a-test-')))
  return {path, [Symbol.dispose]: () => rmSync(path, {recursive: true, force: true, maxRetries: 5})}
}

/** A git repository with these files in one commit. */
export function repository(path: string, files: Record<string, string> = {'README.md': 'hello\n'}): string {
  mkdirSync(path, {recursive: true})
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text)
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@localhost', ...args], {cwd: path, stdio: 'pipe'})
  git('init', '-q')
  git('add', '.')
  git('commit', '-q', '-m', 'start')
  return path
}

/** Waits until `look` gives something; throws with `what` after the limit. */
export async function until<T>(
  look: () => T | Promise<T>,
  what: string | (() => string),
  limitMs = 30_000,
): Promise<NonNullable<T>> {
  const deadline = Date.now() + limitMs
  for (;;) {
    const value = await look()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`gave up waiting for ${typeof what === 'string' ? what : what()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
