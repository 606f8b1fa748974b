import {spawn, type ChildProcess} from 'node:child_process'
import {once} from 'node:events'
import {accessSync, constants, statSync} from 'node:fs'
import {ExpectedError, type ExitName, errorCode, messageOf} from '../core/errors.ts'
import {installCommand} from '../opencode/program/locate.ts'
import {asAgentUser, type AgentUser} from '../opencode/program/agent-user.ts'
import type {OpenRunFiles} from './run-files.ts'
import type {ProcessIdentity} from './processes/processes.ts'
import {preferForMemoryKill} from './processes/out-of-memory.ts'
import {identify} from './processes/processes.ts'
import {inNamespace} from './processes/namespace.ts'
import type {RunGroup} from './processes/run-groups.ts'

export type AgentExit = {code: number | null; signal: string | null}

export type SpawnOptions = {
  /** Name of the program, for people. */
  name: string
  binary: string
  args: readonly string[]
  cwd: string
  env: Record<string, string>
  files: OpenRunFiles
  /** The agent is started inside of this control group, and its pid is written to `pidFile`. */
  group?: RunGroup | undefined
  pidFile: string
  /** The agent is started in a pid namespace of its own. */
  isNamespace: boolean
  /** The user that it runs as, if it is another one. */
  user?: AgentUser | undefined
}

export type AgentProcess = {identity: ProcessIdentity; exited: Promise<AgentExit>}

/**
 * Starts the agent as the leader of its own process group, so that it survives the worker. Its streams are files, never
 * pipes: OpenCode exits without draining a pipe, and a pipe breaks when its reader dies. Rejects with ExpectedError if
 * the process cannot be started.
 */
export async function spawnAgent(
  options: SpawnOptions,
  onSpawn: (identity: ProcessIdentity) => void,
): Promise<AgentProcess> {
  const child = launch(options)
  if (child.pid === undefined) {
    const [cause] = (await once(child, 'error')) as [unknown]
    throw cannotStart(options, cause)
  }

  const {group, user} = options
  // It is visible for a moment, until it has switched to its user.
  const identity = group && user ? {pid: child.pid, startTime: '', cgroup: group.path} : identify(child.pid)
  const exited = new Promise<AgentExit>((resolve) => {
    child.once('exit', (code, signal) => resolve({code, signal}))
  })
  if (!options.user) preferForMemoryKill(child.pid) // else the shell has done it
  onSpawn(identity)
  return {identity, exited}
}

/** Where the agent of another user finds its report. */
export const reportFd = 3

/** Uses Node's `spawn`: a child with these descriptors is all it takes, and this is the hot path of dispatch. */
function launch(options: SpawnOptions): ChildProcess {
  const {binary, args, cwd, env, files, group, user, pidFile, isNamespace} = options
  const {stdin, stdout, stderr, report} = files
  try {
    if (group || isNamespace) accessSync(binary, constants.X_OK) // the shell would only say so on stderr
    const command = user ? asUserInFolder(user, cwd, [binary, ...args]) : [binary, ...args]
    const [program, words] = group ? group.enter(pidFile, command) : inNamespace(command, isNamespace)
    const stdio = user ? [stdin, stdout, stderr, report] : [stdin, stdout, stderr]
    return spawn(program, words, {cwd: user ? '/' : cwd, env, detached: true, stdio})
  } catch (error) {
    throw cannotStart(options, error) // reasons of the system are emitted, except for E2BIG
  }
}

/** Switches to the user first: the worker may not be able to enter the codebase. */
function asUserInFolder(user: AgentUser, folder: string, command: readonly string[]): string[] {
  const script = 'mkdir -m 700 -p -- "$TMPDIR" && cd -- "$0" && unset OLDPWD && exec "$@"'
  const [program, words] = asAgentUser(user, ['/bin/sh', '-c', script, folder, ...command])
  return [program, ...words]
}

function cannotStart({name, binary, cwd}: SpawnOptions, cause: unknown): ExpectedError {
  const fail = (code: string, exit: ExitName, message: string, ...suggestions: string[]) =>
    new ExpectedError(message, {code, exit, suggestions, cause, isMachineFault: !isOfTask(code, cause)})
  const missing = name === 'OpenCode' ? 'OPENCODE_NOT_FOUND' : 'AGENT_NOT_FOUND'
  const install =
    name === 'OpenCode' ? [installCommand] : ['Install it, or correct its command in the setting `agents`']
  // A missing directory is reported as ENOENT of the program.
  if (!isDirectory(cwd))
    return fail('CODEBASE_MISSING', 'config', `the codebase ${cwd} is not a directory that the worker can enter`)
  switch (errorCode(cause)) {
    case 'ENOENT':
      return fail(missing, 'config', `${name} is no longer at ${binary}`, ...install)
    case 'EACCES':
      return fail(missing, 'config', `${name} at ${binary} is not executable by the worker's user`)
    case 'E2BIG':
      return fail('AGENT_START', 'config', 'the environment of the agent is too long for the system to start it')
    case 'EAGAIN':
    case 'ENOMEM':
    case 'EMFILE':
    case 'ENFILE':
      return fail('AGENT_START', 'temporary', `no process is to be had for ${name} now (${errorCode(cause)})`)
    default:
      return fail('AGENT_START', 'failed', `${name} could not be started: ${messageOf(cause)}`)
  }
}

/** A missing codebase and a long environment would fail again. Anything else may be mended, or is not so elsewhere. */
const isOfTask = (code: string, cause: unknown) => code === 'CODEBASE_MISSING' || errorCode(cause) === 'E2BIG'

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}
