import {spawnSync} from 'node:child_process'
import {closeSync, mkdtempSync, openSync, readFileSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import * as v from 'valibot'
import {messageOf} from '../../core/errors.ts'
import {parseJson} from '../../protocol/parse.ts'
import {
  isAgentId,
  isInScope,
  maybeNumber,
  maybeText,
  newestOf,
  type AgentMessage,
  type AgentSession,
  type SessionSource,
} from './agent-session.ts'
import {lastLines} from '../output/tail.ts'
import {StorageProblem} from './session-storage.ts'

export type CommandOptions = {
  binary: string
  /** The agent's environment, but for PWD. */
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
 * Asks OpenCode itself, a process of seconds each time: for storage of a kind that is not known here. Only sessions of
 * named directories can be asked for.
 */
export function sessionCommands(options: CommandOptions): SessionSource {
  const exported = new Map<string, AgentMessage[]>()
  const messagesOf = (sessionId: string) => {
    const known = exported.get(sessionId) ?? readExport(answer(['export', sessionId], options.scratchDir, options))
    exported.set(sessionId, known)
    return known
  }

  return {
    sessions(scope, only) {
      const directories = 'inside' in scope ? scope.inside : []
      const found = directories.flatMap((directory) => {
        const text = answer(['session', 'list', '--format', 'json'], directory, options)
        return readList(text).filter((session) => isInScope(session.directory, {inside: [directory]}))
      })
      return newestOf(found.filter(({id}) => only === undefined || id === only))
    },
    messageIds: (sessionId) => messagesOf(sessionId).map(({id}) => id),
    message: (sessionId, id) => messagesOf(sessionId).find((message) => message.id === id),
    [Symbol.dispose]() {},
  }
}

/** Into a file: OpenCode exits without draining a pipe. */
function answer(args: string[], cwd: string, {binary, env, scratchDir}: CommandOptions): string {
  const folder = mkdtempSync(join(scratchDir, 'sessions-'))
  const file = join(folder, 'answer')
  const fd = openSync(file, 'w', 0o600)
  try {
    const {status, stderr, error} = spawnSync(binary, args, {
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

/** Nothing at all is printed where there is no session. */
function readList(text: string): AgentSession[] {
  if (text.trim() === '') return []
  const parsed = v.safeParse(listSchema, parseJson(text))
  if (!parsed.success) throw odd('opencode session list')
  return parsed.output
    .filter(({id}) => isAgentId(id))
    .map((session) => ({...session, version: null, messages: null, summary: null}))
}

function readExport(text: string): AgentMessage[] {
  const parsed = v.safeParse(exportSchema, parseJson(text))
  if (!parsed.success) throw odd('opencode export')
  return parsed.output.messages
    .filter(({info}) => isAgentId(info.id))
    .map(({info, parts}) => ({
      id: info.id,
      info: JSON.stringify(info),
      parts: parts.map((part) => ({id: part.id, data: JSON.stringify(part)})),
    }))
}

const odd = (command: string) =>
  new StorageProblem('unknown', `\`${command}\` printed something that is not known here.`, ['Update a2a-worker.'])
