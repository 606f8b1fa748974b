import {execFile, type ExecFileException} from 'node:child_process'
import {statSync} from 'node:fs'
import {delimiter, join} from 'node:path'
import * as v from 'valibot'
import {readStateJson, writePrivateFile} from '../../config/state-directory.ts'
import {ExpectedError} from '../../core/errors.ts'
import {aborted} from '../../core/request-signal.ts'
import {asAgentUser, type AgentUser} from './agent-user.ts'
import {installCommand, isExecutableFile} from './locate.ts'

/** What is known about an OpenCode program. */
export type OpenCodeProbe = {
  version: string
  /** Long flags of `run`, with their dashes. An unknown flag ends a run, so only these are passed. */
  flags: ReadonlySet<string>
  /** Problems to expect, for people. */
  warnings: string[]
}

export type ProbeOptions = {
  /** A state file with what the last probe found. While the program is slow, that is used if the program is the same. */
  file?: string
  onSlow?: (text: string) => void
  patience?: Patience
  /** The user that OpenCode runs as, if it is another one. */
  user?: AgentUser | undefined
  /** Ends the wait. */
  signal?: AbortSignal
}

/** In ms. After `known`, an earlier answer is used; after `slow`, the wait is reported; after `most`, it is given up. */
export type Patience = {known: number; slow: number; most: number}

/**
 * A loaded machine may need minutes for what takes half a second otherwise. The program is not ended and started again
 * in that time: two workers that did so would keep each other from ever finishing.
 */
const defaultPatience: Patience = {known: 10_000, slow: 30_000, most: 5 * 60_000}

/** In older versions a permission question or an unknown session hangs the run. */
const supported = [1, 1, 65] as const

/**
 * Reads version and flags of a program. `env` is the agent's environment. Throws ExpectedError: it is unusable (78), or
 * it does not answer, which may pass (75).
 */
export async function probeOpenCode(
  binary: string,
  env: NodeJS.ProcessEnv,
  {file, onSlow = () => {}, patience = defaultPatience, user, signal}: ProbeOptions = {},
): Promise<OpenCodeProbe> {
  const known = file === undefined ? undefined : readKnown(file, binary)
  using asked = askProgram(binary, {env, user, timeoutMs: patience.most})
  using slow = timer(patience.slow)
  using enough = timer(patience.known)
  void slow.elapsed.then(() => onSlow(`OpenCode at ${binary} is slow to print its version. Waiting for it.`))
  const givenUp = signal ? [aborted(signal)] : []
  await Promise.race([asked.answer, ...givenUp, ...(known ? [enough.elapsed] : [])])
  if (signal?.aborted && !asked.hasAnswered())
    throw new ExpectedError('Stopped while OpenCode was asked for its version.', {code: 'STOPPED', exit: 'interrupted'})
  if (known && !asked.hasAnswered()) {
    onSlow(`OpenCode at ${binary} is slow to print its version. The one seen before is used: ${known.version}.`)
    return withWarnings(known.version, new Set(known.flags), env)
  }

  const probe = read(binary, await asked.answer, env)
  if (file !== undefined) saveKnown(file, binary, probe)
  return probe
}

/** Why tasks cannot be run safely with `opencode run` of this version, and what to do. Undefined if they can. */
export function unsafeRun({
  version,
  flags,
}: Pick<OpenCodeProbe, 'version' | 'flags'>): {problem: string; fix: string} | undefined {
  if (Number(version.split('.')[0]) < 2 || flags.has('--standalone')) return undefined
  return {
    problem: `OpenCode ${version} runs tasks in a background server that all tasks share, where neither its processes nor its permissions can be controlled (its \`run\` has no --standalone)`,
    fix: 'Update it: npm i -g @opencode/cli@latest. Or set executor to acp',
  }
}

function read(binary: string, {version, help}: {version: Answer; help: Answer}, env: NodeJS.ProcessEnv): OpenCodeProbe {
  const numbers = /(\d+)\.(\d+)\.(\d+)\S*/.exec(version.text)
  if (!numbers) throw noVersion(binary, version)
  const flags = new Set(help.text.match(/--[a-z][a-z-]*/g))
  if (!flags.has('--format')) throw help.isTimeout ? noVersion(binary, help) : noFormat(binary, numbers[0])
  return withWarnings(numbers[0], flags, env)
}

function withWarnings(version: string, flags: ReadonlySet<string>, env: NodeJS.ProcessEnv): OpenCodeProbe {
  return {version, flags, warnings: [...versionWarnings(version), ...toolWarnings(env)]}
}

type Answer = {text: string; problem: string; isTimeout: boolean}

/** Runs the two commands. Disposing ends those that still run. */
function askProgram(binary: string, options: Omit<Ask, 'signal'>) {
  const stop = new AbortController()
  const ask = (args: string[]) => outputOf(binary, args, {...options, signal: stop.signal})
  let hasAnswered = false
  const answer = Promise.all([ask(['--version']), ask(['run', '--help'])]).then(([version, help]) => {
    hasAnswered = true
    return {version, help}
  })
  return {answer, hasAnswered: () => hasAnswered, [Symbol.dispose]: () => stop.abort()}
}

/** `elapsed` resolves after this time, or never once the timer is disposed. */
function timer(ms: number) {
  const {promise: elapsed, resolve} = Promise.withResolvers<void>()
  const timeout = setTimeout(resolve, ms)
  return {elapsed, [Symbol.dispose]: () => clearTimeout(timeout)}
}

type Ask = {env: NodeJS.ProcessEnv; user: AgentUser | undefined; timeoutMs: number; signal: AbortSignal}

/** Returns both streams: depending on the version, the help is on stdout or stderr. */
const outputOf = (binary: string, args: string[], {env, user, timeoutMs, signal}: Ask) =>
  new Promise<Answer>((resolve) => {
    const limits = {timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 1_000_000} as const
    const [program, words] = asAgentUser(user, [binary, ...args])
    const child = execFile(program, words, {env, signal, cwd: '/', ...limits}, (error, stdout, stderr) =>
      resolve({
        text: stdout + stderr,
        problem: error ? failure(error, timeoutMs) : 'it printed no version',
        isTimeout: error?.killed === true,
      }),
    )
    child.stdin?.end()
  })

const failure = ({message, killed, code}: ExecFileException, timeoutMs: number) => {
  if (killed) return `no answer within ${timeoutMs / 1000} s`
  return String(code) === 'EAGAIN' ? 'the system has no process to spare (EAGAIN)' : (message.split('\n')[0] ?? '')
}

const noVersion = (binary: string, {text, problem, isTimeout}: Answer) =>
  new ExpectedError(`${binary} does not print its version: ${text.trim().split('\n').at(-1) || problem}`, {
    code: isTimeout ? 'OPENCODE_SLOW' : 'OPENCODE_BROKEN',
    exit: isTimeout ? 'temporary' : 'config',
    suggestions: [`Run \`${binary} --version\` by hand`, ...(isTimeout ? [] : [`Install it again: ${installCommand}`])],
  })

const noFormat = (binary: string, version: string) =>
  new ExpectedError(`OpenCode ${version} at ${binary} has no \`run --format\``, {
    code: 'OPENCODE_BROKEN',
    exit: 'config',
    suggestions: [`Install a newer one: ${installCommand}`],
  })

const knownSchema = v.object({
  path: v.string(),
  size: v.number(),
  mtime: v.number(),
  version: v.string(),
  flags: v.array(v.string()),
})
type Known = v.InferOutput<typeof knownSchema>

/** What the last probe found, if the program is the same file. */
function readKnown(file: string, binary: string): Known | undefined {
  const parsed = v.safeParse(knownSchema, readStateJson(file))
  const stamp = stampOf(binary)
  if (!parsed.success || !stamp) return undefined
  const {path, size, mtime} = parsed.output
  return path === binary && size === stamp.size && mtime === stamp.mtime ? parsed.output : undefined
}

function saveKnown(file: string, binary: string, {version, flags}: OpenCodeProbe): void {
  const stamp = stampOf(binary)
  if (!stamp) return
  const known: Known = {path: binary, ...stamp, version, flags: [...flags]}
  if (JSON.stringify(known) === JSON.stringify(readStateJson(file))) return
  try {
    writePrivateFile(file, `${JSON.stringify(known)}\n`)
  } catch {
    // The disk is full. The next start probes again.
  }
}

function stampOf(binary: string): {size: number; mtime: number} | undefined {
  const stat = statSync(binary, {throwIfNoEntry: false})
  return stat && {size: stat.size, mtime: stat.mtimeMs}
}

function versionWarnings(version: string): string[] {
  const numbers = version.split('.').map(Number.parseFloat)
  const difference = supported.map((part, i) => (numbers[i] ?? 0) - part).find((part) => part !== 0) ?? 0
  if (difference >= 0) return []
  return [`OpenCode ${version} is older than ${supported.join('.')}: it may hang where it would ask; please update it`]
}

function toolWarnings(env: NodeJS.ProcessEnv): string[] {
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '')
  const has = (name: string) => folders.some((folder) => isExecutableFile(join(folder, name)))
  return [
    ...(has('rg') ? [] : ['`rg` is not on PATH: OpenCode cannot search (Debian package: ripgrep)']),
    ...(has('git') ? [] : ['`git` is not on PATH: OpenCode cannot undo or show changes (Debian package: git)']),
  ]
}
