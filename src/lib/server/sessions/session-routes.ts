import type {Context, Hono} from 'hono'
import {limits} from '../../protocol/limits.ts'
import {globalCodebase, routes} from '../../protocol/routes.ts'
import {resumeSchema, syncMessagesSchema, syncSessionsSchema} from '../../protocol/session-schemas.ts'
import {mayActAs} from '../http/auth.ts'
import {readBody} from '../http/body.ts'
import type {AppEnv} from '../http/app-env.ts'
import {nextCursorHeader} from '../http/paging.ts'
import type {Plane} from '../plane/plane.ts'
import {bindingsIn} from '../rules/registry/binding.ts'
import {codebaseOfOwner, sessionOwnersOf} from '../rules/registry/session-owners.ts'
import {syncMessages, syncSessions} from './session-sync.ts'
import type {Reader} from './session-view.ts'
import {requireSession, listMessages, listSessions, wireSession} from './session-view.ts'
import {requestTask} from '../tasks/task-requests.ts'
import {wireTask} from '../streams/task-view.ts'

const defaultResumePrompt = 'Continue where you left off.'

/** Routes of agent sessions: the codebase's worker syncs them, clients read and resume them. */
export function sessionRoutes(app: Hono<AppEnv>, {plane}: {plane: Plane}): void {
  syncing(app, plane)
  reading(app, plane)

  app.post(routes.sessionResume, async (c) => {
    const {prompt, agent, model} = await readBody(c, resumeSchema, {mayBeEmpty: true})
    const session_id = c.req.param('session')
    const codebase_id = codebaseToResume(plane, c.req.param('codebase'), session_id)
    const task = await requestTask(c, plane, {
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
function codebaseToResume({state, views}: Plane, codebaseId: string, sessionId: string): string {
  const session = views.sessions.get(sessionOwnersOf(state, codebaseId), sessionId)
  return codebaseId === globalCodebase && session ? codebaseOfOwner(session.owner) : codebaseId
}

function syncing(app: Hono<AppEnv>, plane: Plane): void {
  const placeOf = (c: Context<AppEnv>, worker_id: string) => {
    mayActAs(c.get('identity'), worker_id, bindingsIn(plane.state))
    return {worker_id, codebase_id: c.req.param('codebase') ?? ''}
  }

  app.post(routes.sessionsSync, async (c) => {
    const sync = await readBody(c, syncSessionsSchema, {maxBytes: limits.syncBody})
    await syncSessions(plane, placeOf(c, sync.worker_id), sync)
    return c.json({success: true, sessions_count: sync.sessions.length, synced: sync.sessions.length})
  })

  app.post(routes.messagesSync, async (c) => {
    const sync = await readBody(c, syncMessagesSchema, {maxBytes: limits.syncBody})
    const place = {...placeOf(c, sync.worker_id), session_id: c.req.param('session')}
    await syncMessages(plane, place, sync)
    return c.json({success: true, messages_count: sync.messages.length, synced: sync.messages.length})
  })
}

function reading(app: Hono<AppEnv>, plane: Plane): void {
  const reader = (c: Context<AppEnv>): Reader => ({
    codebaseId: c.req.param('codebase') ?? '',
    only: c.get('only'),
  })
  const answer = <T extends {next: string | undefined}>(c: Context<AppEnv>, {next, ...page}: T) => {
    if (next !== undefined) c.header(nextCursorHeader, next)
    return c.json({...page, source: 'worker_sync'})
  }

  app.get(routes.sessions, (c) => answer(c, listSessions(plane, reader(c), c.req.query())))

  app.get(routes.session, (c) => c.json(wireSession(requireSession(plane, reader(c), c.req.param('session')))))

  app.get(routes.messages, (c) => {
    const session_id = c.req.param('session')
    return answer(c, {...listMessages(plane, reader(c), session_id, c.req.query()), session_id})
  })
}
