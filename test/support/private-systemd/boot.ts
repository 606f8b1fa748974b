import {spawn, spawnSync} from 'node:child_process'
import {once} from 'node:events'
import {existsSync, mkdirSync, readdirSync, rmdirSync} from 'node:fs'
import {join} from 'node:path'
import {readIfThere} from '../../../src/lib/core/paths/read-if-there.ts'
import {root, type Finished} from '../cli.ts'
import {scratchFolder, until} from '../scratch.ts'

/** The paths of the program and of Node inside. */
export const insideProgram = ['/run/node', '/run/repository/bin/run.js'] as const

/** Why no systemd can be booted here; undefined if it can. */
export function bootProblem(): string | undefined {
  if (process.platform !== 'linux') return 'it needs Linux'
  if (process.getuid?.() !== 0) return 'it needs root'
  if (!existsSync('/lib/systemd/systemd')) return 'it needs systemd (Debian package: systemd)'
  const {status} = spawnSync('unshare', ['--mount', '--pid', '--fork', '--cgroup', 'true'], {stdio: 'ignore'})
  return status === 0 ? undefined : 'namespaces are not allowed here'
}

export type PrivateSystemd = AsyncDisposable & {
  /** Runs a command inside as root, and resolves when it has ended. */
  run(command: readonly string[], env?: Record<string, string>): Promise<Finished>
  /** The outside path of a path below /etc, /home, /opt or /var inside. */
  outside(path: string): string
}

/** Boots a private systemd with files of its own. Both are removed when disposed. */
export async function bootSystemd(): Promise<PrivateSystemd> {
  const scratch = scratchFolder()
  mkdirSync(join(scratch.path, 'home'))
  const boot = join(root, 'test/support/private-systemd/boot.sh')
  const child = spawn('bash', [boot, scratch.path, root, process.execPath], {stdio: ['ignore', 'pipe', 'pipe']})
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (log += data.toString()))
  const ended = once(child, 'exit')
  const pid = await until(
    () => {
      if (child.exitCode !== null) throw new Error(`systemd did not boot: ${log}`)
      return childOf(child.pid ?? 0)
    },
    () => `systemd to boot: ${log}`,
  )
  const run: PrivateSystemd['run'] = (command, env = {}) => runInside(pid, command, env)
  const state = async () => /running|degraded/.test((await run(['systemctl', 'is-system-running'])).stdout)
  await until(state, () => `systemd to be up: ${log}`, 30_000, 100)
  return {
    run,
    outside: (path) => join(scratch.path, path),
    async [Symbol.asyncDispose]() {
      process.kill(pid, 'SIGKILL')
      await ended
      removeGroups(`private-systemd-${child.pid}`)
      scratch[Symbol.dispose]()
    },
  }
}

/** The only child of a process, once it is systemd. Before, children of the script come and go. */
function childOf(pid: number): number | undefined {
  const child = readIfThere(`/proc/${pid}/task/${pid}/children`)?.trim()
  return child && readIfThere(`/proc/${child}/comm`)?.trim() === 'systemd' ? Number(child) : undefined
}

async function runInside(pid: number, command: readonly string[], env: Record<string, string>): Promise<Finished> {
  const args = ['-t', String(pid), '-m', '-p', '-u', '-i', '-C', '--', ...command]
  const child = spawn('nsenter', args, {
    cwd: '/',
    env: {PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', NO_COLOR: '1', ...env},
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return {code, stdout, stderr}
}

/** The control groups that boot.sh has created, innermost first. */
function removeGroups(name: string): void {
  const hierarchies = [
    '/sys/fs/cgroup',
    ...readdirSync('/sys/fs/cgroup').map((folder) => join('/sys/fs/cgroup', folder)),
  ]
  for (const group of hierarchies.map((hierarchy) => join(hierarchy, name))) if (existsSync(group)) removeGroup(group)
}

function removeGroup(group: string): void {
  for (const entry of readdirSync(group, {withFileTypes: true}))
    if (entry.isDirectory()) removeGroup(join(group, entry.name))
  try {
    rmdirSync(group)
  } catch {
    // Its last process is still exiting. An empty group does no harm.
  }
}
