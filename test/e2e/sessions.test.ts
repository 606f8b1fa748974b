import {mkdirSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, beforeAll, expect, test} from 'vitest'
import type {AgentSession, SessionSource} from '../../src/lib/opencode/storage/agent-session.ts'
import {sessionCommands} from '../../src/lib/opencode/storage/session-commands.ts'
import {sessionDatabase} from '../../src/lib/opencode/storage/session-database.ts'
import {wireMessage} from '../../src/lib/sessions/wire-session.ts'
import {startOpenCodeFleet} from '../support/opencode-fleet.ts'
import {repository, until} from '../support/scratch.ts'

/** The sessions of the real OpenCode, while it works and afterwards. */
let fleet: Awaited<ReturnType<typeof startOpenCodeFleet>>
let codebase = {id: '', path: ''}

beforeAll(async () => {
  fleet = await startOpenCodeFleet({A2A_ACTIVE_SESSION_SYNC_INTERVAL: '0.2'})
  const path = repository(join(fleet.path, 'code'))
  await fleet.worker('w', [path])
  codebase = {path, id: await fleet.codebaseId(path)}
}, 120_000)
afterAll(() => fleet[Symbol.asyncDispose]())

type Message = {role: string; model: string; parts: {type: string; text?: string; state?: {status: string}}[]}

const read = async (path: string) =>
  (await fleet.http.call('GET', `/v1/opencode/codebases/${codebase.id}/sessions${path}`)).body
const listed = async (): Promise<Record<string, unknown>[]> => (await read('')).sessions
const messagesOf = async (session: unknown): Promise<Message[]> => (await read(`/${String(session)}/messages`)).messages

test('the session of a task is on the server with its messages while the task runs, and whole when it has ended', async () => {
  const prompt = '[fake:bash cmd="sleep 4; echo slept"] [fake:text say="Good morning."]'
  const {id} = await fleet.http.task(codebase.id, {title: 'sleepy', prompt})
  const [session] = await until(async () => {
    const sessions = await listed()
    return sessions.length > 0 ? sessions : undefined
  }, 'the session')
  const hasBegun = ({parts}: Message) => parts.some(({type, state}) => type === 'tool' && state?.status === 'running')
  const during = await until(async () => {
    const messages = await messagesOf(session?.['id'])
    return messages.some(hasBegun) ? messages : undefined
  }, 'the tool call that runs')
  expect(during[0]).toMatchObject({role: 'user', model: 'fake/x', parts: [{type: 'text', text: prompt}]})
  expect((await fleet.http.get(id)).status).toBe('running')

  const task = await fleet.ended(id)
  expect(task).toMatchObject({status: 'completed', session_id: session?.['id']})
  const after = await until(async () => {
    const messages = await messagesOf(session?.['id'])
    return messages.at(-1)?.parts.some(({text}) => text === 'Good morning.') ? messages : undefined
  }, 'the last words')
  expect(after.map(({role}) => role)).toEqual(['user', 'assistant', 'assistant'])
  expect(after[1]?.parts).toContainEqual(
    expect.objectContaining({type: 'tool', state: expect.objectContaining({output: 'slept\n', status: 'completed'})}),
  )
  const shown = await until(async () => (await listed()).find(({messageCount}) => messageCount === 3), 'the count')
  expect(shown).toMatchObject({title: 'sleepy', directory: codebase.path, version: '1.18.33'})
})

test("a subagent's session is not listed, and the commands tell the same as the database", async () => {
  const {id} = await fleet.http.task(codebase.id, {title: 'two', prompt: '[fake:task] [fake:text say=both]'})
  expect((await fleet.ended(id)).status).toBe('completed')
  expect((await fleet.cli(['sessions', 'sync'])).code).toBe(0)
  expect((await listed()).map(({title}) => title)).toEqual(['two', 'sleepy'])

  const scratchDir = join(fleet.path, 'scratch')
  mkdirSync(scratchDir)
  const binary = fleet.env['OPENCODE_BIN_PATH'] ?? ''
  using commands = sessionCommands({binary, env: fleet.env, scratchDir})
  using database = await sessionDatabase(join(fleet.path, 'home/.local/share/opencode/opencode.db'))
  const scope = {inside: [codebase.path]}
  const [told, kept] = [commands.sessions(scope), database.sessions(scope)]
  const common = ({id, title, directory, projectId, created, updated}: AgentSession) => ({
    id,
    title,
    directory,
    projectId,
    created,
    updated,
  })
  expect(told.map(common)).toEqual(kept.map(common))
  const newest = told[0]?.id ?? ''
  const wire = (source: SessionSource) =>
    source.messageIds(newest).map((message) => {
      const found = source.message(newest, message)
      return found && JSON.parse(wireMessage(newest, found, (text) => text) ?? '')
    })
  expect(wire(commands)).toEqual(wire(database))
  expect(wire(commands).length).toBeGreaterThan(2)
})
