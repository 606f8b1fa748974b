import {ExpectedError} from '../../core/errors.ts'

export type AgentCommand = {
  agent: string
  model?: string | undefined
  sessionId?: string | undefined
  title: string
}

const maxTitleChars = 200

/** The arguments of one run. The prompt goes to stdin instead. Only flags in `flags` are used. Throws ExpectedError (2). */
export function agentArguments(command: AgentCommand, flags: ReadonlySet<string>): string[] {
  const {agent, model, sessionId, title} = command
  if (sessionId !== undefined && !flags.has('--session'))
    throw badTask('BAD_SESSION', 'this OpenCode cannot continue a session')
  const args = ['run', '--format', 'json']
  // Version 2 would run the task in a background server that all tasks share.
  if (flags.has('--standalone')) args.push('--standalone')
  if (flags.has('--agent')) args.push('--agent', checkAgent(agent))
  if (model !== undefined && flags.has('--model')) args.push('--model', model)
  if (sessionId !== undefined) args.push('--session', checkSession(sessionId))
  // Without a title OpenCode requests one from the model. One argument, because a title may begin with a dash.
  if (sessionId === undefined && flags.has('--title')) args.push(`--title=${cleanTitle(title)}`)
  return args
}

/**
 * Converts a model name to OpenCode's form: `provider/model`, also from `provider:model`. Undefined leaves the choice to
 * OpenCode; so do an empty name and `default`. Throws ExpectedError (2) for an unsafe name.
 */
export function normalizeModel(name: string | null | undefined): string | undefined {
  const model = (name ?? '').trim()
  if (model === '' || model === 'default') return undefined
  if (isUnsafe(model)) throw badTask('BAD_MODEL', `not a model's name: ${JSON.stringify(model)}`)
  return model.includes('/') ? model : model.replace(':', '/')
}

function checkAgent(agent: string): string {
  if (agent === '' || isUnsafe(agent)) throw badTask('BAD_AGENT', `not an agent's name: ${JSON.stringify(agent)}`)
  return agent
}

function checkSession(id: string): string {
  if (!/^[A-Za-z0-9_-]+$/.test(id) || id.startsWith('-'))
    throw badTask('BAD_SESSION', `not a session's id: ${JSON.stringify(id)}`)
  return id
}

/** Whether a text would be parsed as a flag, or cannot be an argument. */
// oxlint-disable-next-line no-control-regex -- control characters are the point
const isUnsafe = (text: string) => text.startsWith('-') || /[\u0000-\u001f\u007f]/.test(text)

function cleanTitle(title: string): string {
  // oxlint-disable-next-line no-control-regex -- a NUL in an argument makes the spawn throw
  const clean = title.replaceAll(/[\u0000-\u001f\u007f]+/g, ' ').trim()
  return [...clean].slice(0, maxTitleChars).join('') || 'task'
}

const badTask = (code: string, message: string) => new ExpectedError(message, {code, exit: 'usage'})
