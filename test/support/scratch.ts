import {execFileSync} from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import {tmpdir} from 'node:os'
import {dirname, join, relative} from 'node:path'

/** A temporary folder. Disposing it also kills the processes that work in it: agents outlive a killed worker. */
export function scratchFolder(): Disposable & {path: string} {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'a2a-test-')))
  return {
    path,
    [Symbol.dispose]() {
      killAll(workingIn(path))
      rmSync(path, {recursive: true, force: true, maxRetries: 5})
    },
  }
}

function killAll(pids: number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // it has ended meanwhile
    }
  }
}

const workingIn = (path: string) =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && cwdOf(name).startsWith(`${path}/`))
    .map(Number)

function cwdOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return '' // it has ended, or belongs to another user
  }
}

const usual = {'README.md': 'hello\n'}
/** The files of such a repository, by path. */
let copy: Map<string, Buffer> | undefined

/** A git repository with these files in one commit. Git makes the usual one once, and later calls copy it. */
export function repository(path: string, files: Record<string, string> = usual): string {
  if (files !== usual) return newRepository(path, files)
  copy ??= contentOf(files)
  // Git needs these folders even when they are empty.
  for (const folder of ['.git/refs/heads', '.git/refs/tags', '.git/objects/info', '.git/objects/pack'])
    mkdirSync(join(path, folder), {recursive: true})
  for (const [name, content] of copy) {
    mkdirSync(dirname(join(path, name)), {recursive: true})
    writeFileSync(join(path, name), content)
  }

  return path
}

function contentOf(files: Record<string, string>): Map<string, Buffer> {
  using scratch = scratchFolder()
  newRepository(scratch.path, files)
  const all = readdirSync(scratch.path, {recursive: true, withFileTypes: true}).filter((entry) => entry.isFile())
  const paths = all.map(({parentPath, name}) => join(parentPath, name))
  return new Map(paths.map((path) => [relative(scratch.path, path), readFileSync(path)]))
}

function newRepository(path: string, files: Record<string, string>): string {
  mkdirSync(path, {recursive: true})
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text)
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@localhost', ...args], {cwd: path, stdio: 'pipe'})
  git('init', '-q', '--template=')
  git('add', '.')
  git('commit', '-q', '-m', 'start')
  return path
}

/** Waits until `look` returns a truthy value. Throws with `what` after the limit. */
export async function until<T>(
  look: () => T | Promise<T>,
  what: string | (() => string),
  limitMs = 90_000, // OpenCode waits a minute for a lock of its own that an ended process has left
  pauseMs = 20,
): Promise<NonNullable<T>> {
  const deadline = Date.now() + limitMs
  for (;;) {
    const value = await look()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`gave up waiting for ${typeof what === 'string' ? what : what()}`)
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}
