import {type Fields, fieldsOf, listOf, type RequestIds, requestIdsOf, rpcErrors, textOf} from '../../acp/message.ts'
import {plainError} from '../../acp/fold.ts'
import {nearestNames} from '../../core/text/nearest.ts'
import {standInProvider} from '../../opencode/program/stand-in.ts'
import {defaultProgram} from '../../protocol/agent-program.ts'
import {AgentRefusal, type AgentChannel} from './channel.ts'
import type {AgentStart} from './sent-log.ts'
import type {Words} from './words.ts'

/** The agent cannot do the task. The message says why, and what to do. */
export class AgentFailure extends Error {}

export type ConverseOptions = {
  channel: AgentChannel
  start: AgentStart
  prompt: string
  words: Words
  onWarning: (text: string) => void
  /** The handshake was made. */
  onAnnounced: (fields: Fields) => void
  /** The session is open. */
  onSession: (id: string) => void
}

const protocolVersion = 1

/**
 * Leads an agent through its task: handshake, session, model and mode, the prompt, and what people say meanwhile.
 * Resolves when the last turn has ended; its outcome is among the events. Rejects with AgentFailure. It is a function of
 * its options and of the answers, so another process that repeats it goes on where this one stopped.
 */
export async function converse({
  channel,
  start,
  prompt,
  words,
  onWarning,
  onAnnounced,
  onSession,
}: ConverseOptions): Promise<void> {
  const ids = requestIdsOf(start.prefix)
  const {session, sessionId} = await beginSession({channel, start, onAnnounced})
  onSession(sessionId)
  await choose('model', start.model, {ids, channel, start, session, sessionId, onWarning})
  await choose('mode', start.mode, {ids, channel, start, session, sessionId, onWarning})
  let [text, input]: [string, string | undefined] = [prompt, undefined]
  for (let turn = 1; ; turn += 1) {
    await runTurn(ids.prompt(turn), {text, input, sessionId, channel, words})
    const next = words.next(turn)
    if (!next) return
    ;[text, input] = [next.text, next.id]
  }
}

/** Handshake and session. Resolves with what the agent offers in the session. Rejects with AgentFailure. */
async function beginSession({
  channel,
  start,
  onAnnounced,
}: Pick<ConverseOptions, 'channel' | 'start' | 'onAnnounced'>): Promise<{session: Fields; sessionId: string}> {
  const announced = start.announced ?? (await initialize(channel, start))
  onAnnounced(announced)
  const {agentCapabilities, authMethods} = announced
  const asked = {ids: requestIdsOf(start.prefix), channel, start}
  const session = await withLogin(listOf(authMethods), asked, (id) =>
    openSession(id, channel, start, fieldsOf(agentCapabilities)),
  )
  const sessionId = start.sessionId ?? textOf(session['sessionId'])
  if (sessionId === '') throw new AgentFailure(`${start.name} opened a session without an id`)
  return {session, sessionId}
}

/** Asks an agent which models its sessions can have. Empty: it lets nobody choose. Rejects with AgentFailure. */
export async function askForModels(channel: AgentChannel, start: AgentStart): Promise<readonly OfferedValue[]> {
  const {session} = await beginSession({channel, start, onAnnounced: () => {}})
  return offerOf('model', session)?.values ?? []
}

type Turn = {text: string; input: string | undefined; sessionId: string; channel: AgentChannel; words: Words}

/** An error of the turn is among the events already: the fold has it from the same answer. */
async function runTurn(id: string, {text, input, sessionId, channel, words}: Turn): Promise<void> {
  const params = {sessionId, prompt: [{type: 'text', text}]}
  const said = input === undefined ? {} : {input, onSent: () => words.onPrompt(input)}
  await channel.request(id, 'session/prompt', params, said).catch((error: unknown) => {
    if (!(error instanceof AgentRefusal)) throw error
  })
}

/** The handshake. Resolves with what the agent announces. Rejects with AgentFailure. */
export async function initialize(
  channel: AgentChannel,
  {name, prefix}: Pick<AgentStart, 'name' | 'prefix'>,
): Promise<Fields> {
  const answer = await refusable(name, () =>
    channel.request(requestIdsOf(prefix).initialize, 'initialize', {
      protocolVersion,
      clientCapabilities: {
        fs: {readTextFile: false, writeTextFile: false},
        terminal: false,
        // Otherwise Claude Code sends its notices as if they were said by the model.
        session: {notices: {}},
      },
      clientInfo: {name: 'a2a-worker', version: '1'},
    }),
  )
  const version = answer['protocolVersion']
  if (version === protocolVersion) return answer
  throw new AgentFailure(
    `${name} speaks version ${String(version)} of the Agent Client Protocol, and this worker version ${protocolVersion}: install another version of the agent`,
  )
}

/** Turns the refusal of a request into the failure of the task. */
async function refusable<T>(name: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof AgentRefusal)) throw error
    throw new AgentFailure(`${name} refused ${error.method}: ${plainError(error.message, error.error.data)}`)
  }
}

async function openSession(
  id: string,
  channel: AgentChannel,
  {sessionId, cwd, name}: AgentStart,
  capabilities: Fields,
): Promise<Fields> {
  const place = {cwd, mcpServers: []}
  if (sessionId === null) return await channel.request(id, 'session/new', place)
  // Loading repeats the history, so it is the second choice.
  const canResume = fieldsOf(capabilities['sessionCapabilities'])['resume'] !== undefined
  if (!canResume && capabilities['loadSession'] !== true)
    throw new AgentFailure(`${name} cannot continue the session ${sessionId}: it announces neither resume nor load`)
  const method = canResume ? 'session/resume' : 'session/load'
  try {
    return await channel.request(id, method, {sessionId, ...place})
  } catch (error) {
    if (!(error instanceof AgentRefusal) || error.error.code === rpcErrors.login) throw error
    throw new AgentFailure(
      `${name} cannot continue the session ${sessionId}: ${plainError(error.message, error.error.data)}`,
    )
  }
}

type Asked = {ids: RequestIds; channel: AgentChannel; start: AgentStart}

/** Opens the session. An agent that has a key in its environment may want to be told to use it. */
async function withLogin(methods: Fields[], asked: Asked, open: (id: string) => Promise<Fields>): Promise<Fields> {
  const {name} = asked.start
  try {
    return await open(asked.ids.session)
  } catch (error) {
    if (!(error instanceof AgentRefusal)) throw error
    if (error.error.code !== rpcErrors.login)
      throw new AgentFailure(`${name} could not open a session: ${plainError(error.message, error.error.data)}`)
    return await loginAndOpen(methods, asked, open)
  }
}

async function loginAndOpen(
  methods: Fields[],
  {ids, channel, start: {name}}: Asked,
  open: (id: string) => Promise<Fields>,
): Promise<Fields> {
  const names = methods.map((method) => textOf(method['id']))
  const help = `log in with the agent's own program as the user of the worker, or put its key into env_allow (methods: ${names.join(', ') || 'none'})`
  const key = names.find((id) => /api[-_]?key/i.test(id))
  if (key === undefined) throw new AgentFailure(`${name} asks for a login: ${help}`)
  try {
    await channel.request(ids.login, 'authenticate', {methodId: key})
    return await open(ids.sessionAfterLogin)
  } catch (error) {
    if (!(error instanceof AgentRefusal)) throw error
    throw new AgentFailure(`${name} asks for a login: ${plainError(error.message, error.error.data)}; ${help}`)
  }
}

type Chosen = Asked & {session: Fields; sessionId: string; onWarning: (text: string) => void}

/** Sets the model or the mode. What the session does not offer is refused, except for a mode that is no wish. */
async function choose(
  what: 'model' | 'mode',
  value: string | null,
  {ids, channel, start, session, sessionId, onWarning}: Chosen,
) {
  if (value === null) return
  const offer = offerOf(what, session)
  const found = offer?.values.find(({id}) => id === value)
  // `build` is the default of tasks, and what an agent without such a mode does anyway.
  if (found === undefined && what === 'mode' && value === 'build') return
  if (!offer && what === 'model' && start.fallsBack)
    return onWarning(`${start.name} lets nobody choose a model: the task runs with its default (unknown_model)`)
  if (!offer) throw new AgentFailure(`${start.name} lets nobody choose a ${what}, and the task names ${value}`)
  if (found === undefined && what === 'model' && start.fallsBack)
    return onWarning(`${start.name} has no model ${value}: the task runs with its default (unknown_model)`)
  if (found === undefined) throw new AgentFailure(notOffered(what, value, offer, start))
  if (offer.current === value) return
  const {method, params} = offer.set(value)
  await refusable(start.name, () => channel.request(ids.option(what), method, {sessionId, ...params}))
}

function notOffered(what: 'model' | 'mode', value: string, {values}: Offer, {name, program}: AgentStart): string {
  const known = values.map(({id}) => id).filter((id) => !id.startsWith(`${standInProvider}/`))
  const close = nearestNames(value, known)
  const some = `it has ${known.slice(0, 10).join(', ')}${known.length > 10 ? ', …' : ''}`
  const hint = what === 'model' && program === defaultProgram ? defaultHint : ''
  return `${name} has no ${what} ${value}; ${close.length > 0 ? `near: ${close.join(', ')}` : some}${hint}`
}

const defaultHint = '; unknown_model: default would run the task with its default'

export type OfferedValue = {id: string; name: string}

type Offer = {current: string; values: OfferedValue[]; set: (value: string) => {method: string; params: Fields}}

/** What a session offers: by the options of the protocol, or by the lists that they have replaced. */
function offerOf(what: 'model' | 'mode', session: Fields): Offer | undefined {
  const option = listOf(session['configOptions']).find(({id, category}) => id === what || category === what)
  if (option) {
    const configId = textOf(option['id'])
    const values = listOf(option['options']).flatMap((each) => [each, ...listOf(each['options'])])
    return {
      current: textOf(option['currentValue']),
      values: valuesOf(values, 'value'),
      set: (value) => ({method: 'session/set_config_option', params: {configId, value}}),
    }
  }
  const list = fieldsOf(session[`${what}s`])
  const [currentKey, listKey, idKey]: readonly [string, string, string] =
    what === 'model' ? ['currentModelId', 'availableModels', 'modelId'] : ['currentModeId', 'availableModes', 'id']
  const values = valuesOf(listOf(list[listKey]), idKey)
  if (values.length === 0) return undefined
  const param = what === 'model' ? 'modelId' : 'modeId'
  return {
    current: textOf(list[currentKey]),
    values,
    set: (value) => ({method: `session/set_${what}`, params: {[param]: value}}),
  }
}

const valuesOf = (list: Fields[], key: string): OfferedValue[] =>
  list
    .map((each) => ({id: textOf(each[key]), name: textOf(each['name']) || textOf(each[key])}))
    .filter(({id}) => id !== '')
