import {chmodSync, existsSync, fstatSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {homedir} from 'node:os'
import {isWritable} from '../../config/state-directory.ts'
import type {AgentUser} from './agent-user.ts'
import {parseJson} from '../../protocol/parse.ts'

/** Names the file that the plugin writes to, or its descriptor. It is not passed on to tools. */
const reportVariable = 'A2A_REPORT'

/**
 * A plugin for OpenCode 1.x. OpenCode prints neither that it waits for a provider, nor which tool calls are open, nor
 * what a subagent does. The plugin appends the first two to a file, and touches the file when anything happens. It also
 * writes what each step used, errors with their status, and requests for permission: `opencode acp` tells neither of the
 * first two, nor what a subagent asks (opencode #48232). And it ends an agent that waits for its next task when nobody is
 * left to give it one: its worker was killed.
 */
const pluginText = `// Written by a2a-worker. Reports to its worker what OpenCode does not print.
import {appendFileSync, fstatSync, utimesSync, writeSync} from 'node:fs'
import {env} from 'node:process'

const file = env.${reportVariable}
delete env.${reportVariable} // an OpenCode that a tool starts must not report here
// An agent of another user than its worker cannot open the file. It gets it opened, as FD:DEVICE:INODE.
const opened = /^(\\d+):(\\d+:\\d+)$/.exec(file ?? '')
const isThere = ({dev, ino}) => dev + ':' + ino === opened[2]
const append = (text) => {
  try {
    if (!opened) appendFileSync(file, text, {mode: 0o600})
    else if (isThere(fstatSync(Number(opened[1]), {bigint: true}))) writeSync(Number(opened[1]), text)
  } catch {}
}
const write = (line) => append(JSON.stringify({at: Date.now(), ...line}) + '\\n')
const touch = () => {
  try {
    const now = new Date()
    if (opened) append('\\n')
    else utimesSync(file, now, now)
  } catch {}
}

// Ends an \`opencode acp\` whose parent has been gone for a while, when none of its sessions is at work. Each of its
// folders has an instance of the plugin, so this is not a matter of an instance.
const busy = new Set()
const parent = process.ppid
const orphan = {checkMs: 15_000, checks: 20}
let checks = 0
const endIfOrphaned = () => {
  checks = process.ppid === parent || busy.size > 0 ? 0 : checks + 1
  if (checks >= orphan.checks) process.exit(0)
}
if (file && process.argv.includes('acp')) setInterval(endIfOrphaned, orphan.checkMs).unref()

const titleOf = ({command, filePath, pattern, url, description} = {}) =>
  String(command ?? filePath ?? pattern ?? url ?? description ?? '').slice(0, 200)

export const A2AReporter = async () => {
  if (!file) return {}
  const providers = new Map()
  const open = new Map()
  const steps = new Set()
  let touchedAt = 0
  write({type: 'started'})
  return {
    event: async ({event: {type, properties = {}}}) => {
      const {info, part, status, error, sessionID: session} = properties
      if (type === 'message.updated' && info?.providerID) providers.set(info.sessionID, info.providerID)
      if (type === 'session.status' && status) {
        if (status.type === 'idle') busy.delete(session)
        else busy.add(session)
        write({...status, session, provider: providers.get(session)}) // its type is busy, retry or idle
      }
      if (part?.type === 'step-finish' && !steps.has(part.id)) {
        steps.add(part.id)
        write({type: 'step', session: part.sessionID, tokens: part.tokens, cost: part.cost})
      }
      if (type === 'session.error' && error)
        write({type: 'error', session, name: error.name, status: error.data?.statusCode})
      if (type === 'permission.asked') {
        const {id, permission, patterns = []} = properties
        write({type: 'permission', session, id, what: [permission, ...patterns].join(' ').slice(0, 200), isOpen: true})
      }
      if (type === 'permission.replied')
        write({type: 'permission', session, id: properties.requestID ?? properties.permissionID, isOpen: false})
      if (part?.type === 'tool') {
        // The input is complete once the call runs. Before that, only the name of the tool is known.
        const status = part.state?.status
        const isOpen = status === 'pending' || status === 'running'
        if (status !== open.get(part.callID) && (isOpen || open.has(part.callID))) {
          if (isOpen) open.set(part.callID, status)
          else open.delete(part.callID)
          const title = status === 'running' ? titleOf(part.state.input) : ''
          write({type: 'tool', session: part.sessionID, call: part.callID, tool: part.tool, title, isOpen})
        }
      }
      if (/^(message|session)\\./.test(type) && Date.now() - touchedAt > 500) {
        touchedAt = Date.now()
        touch()
      }
    },
  }
}
`

/** Writes the plugin to a folder that the agent can read, and returns its path. */
export function installReporter(folder: string, mode = 0o600): string {
  const path = join(folder, 'reporter.mjs')
  mkdirSync(folder, {recursive: true, mode: 0o700})
  // Written only if it differs: agents may read it right now.
  if (!existsSync(path) || readFileSync(path, 'utf8') !== pluginText) {
    writeFileSync(`${path}.${process.pid}`, pluginText, {mode})
    chmodSync(`${path}.${process.pid}`, mode) // whatever the umask is
    renameSync(`${path}.${process.pid}`, path)
  }
  return path
}

export type ReporterOptions = {
  /** The agent's environment without these variables. */
  env: Readonly<Record<string, string>>
  cwd: string
  /** Path of the plugin. */
  plugin: string
  /** The file for its report, or its descriptor in the agent: `openedReport`. */
  report: string
  /** The user that the agent runs as, if it is another one. */
  user?: AgentUser | undefined
}

/** How the agent is told that descriptor `fd` is the file that is open here as `file`. */
export function openedReport(fd: number, file: number): string {
  const {dev, ino} = fstatSync(file, {bigint: true})
  return `${fd}:${dev}:${ino}`
}

/** The variables that load the plugin. None if OpenCode would start later because of it, or if the user's configuration cannot be extended. */
export function reporterVariables({env, cwd, plugin, report, user}: ReporterOptions): Record<string, string> {
  if (env['OPENCODE_PURE'] || !isFree(env, cwd, user)) return {}
  const content = env['OPENCODE_CONFIG_CONTENT'] ? parseJson(env['OPENCODE_CONFIG_CONTENT']) : {}
  if (typeof content !== 'object' || content === null || Array.isArray(content)) return {}
  const {plugin: others} = content as {plugin?: unknown}
  const plugins = [...(Array.isArray(others) ? others : []), `file://${encodeURI(plugin)}`]
  return {[reportVariable]: report, OPENCODE_CONFIG_CONTENT: JSON.stringify({...content, plugin: plugins})}
}

/**
 * Whether a plugin costs no time. Before OpenCode loads one, it waits until it has installed a package of its own in each
 * of its configuration folders. Without a plugin it does so beside the run. Without a network this fails after minutes.
 */
const isFree = (env: ReporterOptions['env'], cwd: string, user: AgentUser | undefined): boolean =>
  env['npm_config_offline'] === 'true' || configFolders(env, cwd).every((folder) => isPrepared(folder, user))

const isPrepared = (folder: string, user: AgentUser | undefined) =>
  existsSync(join(folder, 'node_modules/@opencode-ai/plugin')) || (existsSync(folder) && !mayWrite(folder, user))

const mayWrite = (folder: string, user: AgentUser | undefined) =>
  user ? statSync(folder).uid === user.uid : isWritable(folder)

function configFolders(env: ReporterOptions['env'], cwd: string): string[] {
  const home = env['HOME'] || homedir()
  const optional = [join(home, '.opencode')]
  for (let folder = cwd; ; folder = dirname(folder)) {
    optional.push(join(folder, '.opencode'))
    if (folder === dirname(folder)) break
  }
  const named = env['OPENCODE_CONFIG_DIR']
  const global = join(env['XDG_CONFIG_HOME'] || join(home, '.config'), 'opencode')
  return [global, ...(named ? [named] : []), ...optional.filter((folder) => existsSync(folder))]
}
