import type {Context, Hono} from 'hono'
import {limits} from '../../protocol/limits.ts'
import {globalCodebase, routes} from '../../protocol/routes.ts'
import {resumeSchema, syncMessagesSchema, syncSessionsSchema} from '../../protocol/session-schemas.ts'
import {mayActAs} from '../http/auth.ts'
import {readBody} from '../http/body.ts'
import type {AppEnv} from '../http/app-env.ts'
import {recordContact} from '../tasks/heartbeats.ts'
import {nextCursorHeader} from '../http/paging.ts'
import type {Parts} from '../dispatch/parts.ts'
import {codebaseOfOwner, sessionOwnersOf} from './session-owners.ts'
import {syncMessages, syncSessions} from './session-sync.ts'
import type {Reader} from './session-view.ts'
import {requireSession, listMessages, listSessions, wireSession} from './session-view.ts'
import {requestTask} from '../tasks/task-requests.ts'
import {wireTask} from '../streams/task-view.ts'

const defaultResumePrompt = 'Continue where you left off.'

/** Routes of agent sessions: the codebase's worker syncs them, clients read and resume them. */
export function sessionRoutes(app: Hono<AppEnv>, parts: Parts): void {
  syncing(app, parts)
  reading(app, parts)

  app.post(routes.sessionResume, async (c) => {
    const {prompt, agent, model} = await readBody(c, resumeSchema, {mayBeEmpty: true})
    const session_id = c.req.param('session')
    const codebase_id = codebaseToResume(parts, c.req.param('codebase'), session_id)
    const task = requestTask(c, parts, {
      codebase_id,
      title: `Resume session: ${prompt || session_id}`.slice(0, 80),
      prompt: prompt || defaultResumePrompt,
      agent_type: agent,
      model,
      metadata: {resume_session_id: session_id},
    })
    const message = `Task queued for worker (task: ${task.id})`
    return c.json({success: true, message, session_id, task_id: task.id, codebase_id, agent, task: wireTask(task)})
  })
}

/** A session of `global` is resumed in the codebase that owns it. The worker checks the session itself. */
function codebaseToResume(parts: Parts, codebaseId: string, sessionId: string): string {
  const session = parts.store.sessions.get(sessionOwnersOf(parts, codebaseId), sessionId)
  return codebaseId === globalCodebase && session ? codebaseOfOwner(session.owner) : codebaseId
}

function syncing(app: Hono<AppEnv>, parts: Parts): void {
  const {commits, store} = parts
  const authorize = (c: Context<AppEnv>, workerId: string) =>
    commits.write(() => {
      mayActAs(c.get('identity'), workerId, store.registry)
      recordContact(parts, workerId)
    })

  app.post(routes.sessionsSync, async (c) => {
    const sync = await readBody(c, syncSessionsSchema, {maxBytes: limits.syncBody})
    authorize(c, sync.worker_id)
    await syncSessions(parts, c.req.param('codebase'), sync)
    return c.json({success: true, sessions_count: sync.sessions.length, synced: sync.sessions.length})
  })

  app.post(routes.messagesSync, async (c) => {
    const sync = await readBody(c, syncMessagesSchema, {maxBytes: limits.syncBody})
    authorize(c, sync.worker_id)
    await syncMessages(parts, c.req.param('codebase'), c.req.param('session'), sync)
    return c.json({success: true, messages_count: sync.messages.length, synced: sync.messages.length})
  })
}

function reading(app: Hono<AppEnv>, parts: Parts): void {
  const reader = (c: Context<AppEnv>): Reader => ({
    codebaseId: c.req.param('codebase') ?? '',
    only: c.get('only'),
  })
  const answer = <T extends {next: string | undefined}>(c: Context<AppEnv>, {next, ...page}: T) => {
    if (next !== undefined) c.header(nextCursorHeader, next)
    return c.json({...page, source: 'worker_sync'})
  }

  app.get(routes.sessions, (c) => answer(c, listSessions(parts, reader(c), c.req.query())))

  app.get(routes.session, (c) => c.json(wireSession(requireSession(parts, reader(c), c.req.param('session')))))

  app.get(routes.messages, (c) => {
    const session_id = c.req.param('session')
    return answer(c, {...listMessages(parts, reader(c), session_id, c.req.query()), session_id})
  })
}
