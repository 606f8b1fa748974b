import {execFile, type ExecFileException} from 'node:child_process'
import {delimiter, join} from 'node:path'
import {ExpectedError} from '../../core/errors.ts'
import {isExecutableFile} from './locate.ts'

/** What is known about an OpenCode program. */
export type OpenCodeProbe = {
  version: string
  /** Long flags of `run`, with their dashes. An unknown flag ends a run, so only these are passed. */
  flags: ReadonlySet<string>
  /** Problems to expect, for people. */
  warnings: string[]
}

/** In older versions a permission question or an unknown session hangs the run. */
const supported = [1, 1, 65] as const
const timeoutMs = 30_000

/** Reads version and flags of a program. `env` is the agent's environment. Throws ExpectedError (78) if it is unusable. */
export async function probeOpenCode(binary: string, env: NodeJS.ProcessEnv): Promise<OpenCodeProbe> {
  const [version, help] = await Promise.all([
    outputOf(binary, ['--version'], env),
    outputOf(binary, ['run', '--help'], env),
  ])
  const numbers = /(\d+)\.(\d+)\.(\d+)\S*/.exec(version.text)
  if (!numbers) throw noVersion(binary, version)
  const flags = new Set(help.text.match(/--[a-z][a-z-]*/g))
  if (!flags.has('--format')) throw noFormat(binary, numbers[0])
  return {
    version: numbers[0],
    flags,
    warnings: [...versionWarnings(numbers.slice(1).map(Number), numbers[0]), ...toolWarnings(env)],
  }
}

type Answer = {text: string; problem: string}

/** Returns both streams: depending on the version, the help is on stdout or stderr. */
const outputOf = (binary: string, args: string[], env: NodeJS.ProcessEnv) =>
  new Promise<Answer>((resolve) => {
    const limits = {timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 1_000_000} as const
    const child = execFile(binary, args, {env, ...limits}, (error, stdout, stderr) =>
      resolve({text: stdout + stderr, problem: error ? failure(error) : 'it printed no version'}),
    )
    child.stdin?.end()
  })

const failure = ({message, killed}: ExecFileException) =>
  killed ? `no answer within ${timeoutMs / 1000} s` : (message.split('\n')[0] ?? '')

const noVersion = (binary: string, {text, problem}: Answer) =>
  new ExpectedError(`${binary} does not print its version: ${text.trim().split('\n').at(-1) || problem}`, {
    code: 'OPENCODE_BROKEN',
    exit: 'config',
    suggestions: [`Run \`${binary} --version\` by hand`, 'Install it again: npm i -g opencode-ai'],
  })

const noFormat = (binary: string, version: string) =>
  new ExpectedError(`OpenCode ${version} at ${binary} has no \`run --format\``, {
    code: 'OPENCODE_BROKEN',
    exit: 'config',
    suggestions: ['Install a newer one: npm i -g opencode-ai'],
  })

function versionWarnings(numbers: number[], version: string): string[] {
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
