import {spawnSync} from 'node:child_process'
import {closeSync, mkdtempSync, openSync, readFileSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import * as v from 'valibot'
import {messageOf} from '../../core/errors.ts'
import {parseJson} from '../../protocol/parse.ts'
import {
  isAgentId,
  isInScope,
  isOfWarmUp,
  maybeNumber,
  maybeText,
  newestFirst,
  type AgentMessage,
  type AgentSession,
  type SessionSource,
} from './agent-session.ts'
import {asAgentUser, type AgentUser} from '../program/agent-user.ts'
import {lastLines} from '../output/tail.ts'
import {StorageProblem} from './session-storage.ts'

export type CommandOptions = {
  binary: string
  /** The user that OpenCode runs as, if it is another one. */
  user?: AgentUser | undefined
  /** The agent's environment without PWD. */
  env: Readonly<Record<string, string | undefined>>
  /** An existing folder for short-lived files. */
  scratchDir: string
}

const timeoutMs = 30_000

const listSchema = v.array(
  v.object({
    id: v.string(),
    directory: v.string(),
    title: maybeText,
    projectId: maybeText,
    created: maybeNumber,
    updated: maybeNumber,
  }),
)
const exportSchema = v.object({
  messages: v.array(
    v.object({
      info: v.looseObject({id: v.string()}),
      parts: v.array(v.looseObject({id: v.string()})),
    }),
  ),
})

/**
 * Reads sessions with OpenCode's own commands, for an unknown kind of storage. Each command takes seconds. Only sessions
 * of given directories can be listed.
 */
export function sessionCommands(options: CommandOptions): SessionSource {
  const exported = new Map<string, AgentMessage[]>()
  const messagesOf = (sessionId: string) => {
    const known = exported.get(sessionId) ?? readExport(runCommand(['export', sessionId], options.scratchDir, options))
    exported.set(sessionId, known)
    return known
  }

  return {
    sessions(scope, only) {
      const directories = 'inside' in scope ? scope.inside : []
      const found = directories.flatMap((directory) => {
        const text = runCommand(['session', 'list', '--format', 'json'], directory, options)
        return readList(text).filter((session) => isInScope(session.directory, {inside: [directory]}))
      })
      return newestFirst(found.filter(({id}) => only === undefined || id === only))
    },
    messageIds: (sessionId) => messagesOf(sessionId).map(({id}) => id),
    message: (sessionId, id) => messagesOf(sessionId).find((message) => message.id === id),
    [Symbol.dispose]() {},
  }
}

/** The output goes to a file, because OpenCode exits without draining a pipe. */
function runCommand(args: string[], cwd: string, {binary, user, env, scratchDir}: CommandOptions): string {
  const folder = mkdtempSync(join(scratchDir, 'sessions-'))
  const file = join(folder, 'answer')
  const fd = openSync(file, 'w', 0o600)
  try {
    const [program, words] = asAgentUser(user, [binary, ...args])
    const {status, stderr, error} = spawnSync(program, words, {
      cwd,
      env: {...env, PWD: cwd},
      stdio: ['ignore', fd, 'pipe'],
      encoding: 'utf8',
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    })
    if (status === 0) return readFileSync(file, 'utf8')
    const reason = error ? messageOf(error) : lastLines(stderr) || `exit ${status}`
    throw new StorageProblem('busy', `\`opencode ${args.slice(0, 2).join(' ')}\` failed: ${reason}.`)
  } finally {
    closeSync(fd)
    rmSync(folder, {recursive: true, force: true})
  }
}

/** OpenCode prints nothing if there is no session. */
function readList(text: string): AgentSession[] {
  if (text.trim() === '') return []
  const parsed = v.safeParse(listSchema, parseJson(text))
  if (!parsed.success) throw unknownOutput('opencode session list')
  return parsed.output
    .filter(({id}) => isAgentId(id))
    .map((session) => ({...session, version: null, messages: null, summary: null}))
    .filter((session) => !isOfWarmUp(session, () => undefined))
}

function readExport(text: string): AgentMessage[] {
  const parsed = v.safeParse(exportSchema, parseJson(text))
  if (!parsed.success) throw unknownOutput('opencode export')
  return parsed.output.messages
    .filter(({info}) => isAgentId(info.id))
    .map(({info, parts}) => ({
      id: info.id,
      info: JSON.stringify(info),
      parts: parts.map((part) => ({id: part.id, data: JSON.stringify(part)})),
    }))
}

const unknownOutput = (command: string) =>
  new StorageProblem('unknown', `\`${command}\` printed an unknown format.`, ['Update a2a-worker.'])
