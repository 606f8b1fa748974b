import type {Context, Hono} from 'hono'
import {limits} from '../../protocol/limits.ts'
import {routes} from '../../protocol/routes.ts'
import {resumeSchema, syncMessagesSchema, syncSessionsSchema} from '../../protocol/session-schemas.ts'
import {mayActAs} from '../http/auth.ts'
import {readBody} from '../http/body.ts'
import type {AppEnv} from '../http/app-env.ts'
import {nextCursorHeader} from '../http/paging.ts'
import type {Plane} from '../plane/plane.ts'
import {bindingsIn} from '../rules/registry/binding.ts'
import {resumeSession} from './resume-session.ts'
import {syncMessages, syncSessions} from './session-sync.ts'
import type {Reader} from './session-view.ts'
import {requireSession, listMessages, listSessions, wireSession} from './session-view.ts'
import {wireTask} from '../streams/task-view.ts'

/** Routes of agent sessions: the codebase's worker syncs them, clients read and resume them. */
export function sessionRoutes(app: Hono<AppEnv>, {plane}: {plane: Plane}): void {
  syncing(app, plane)
  reading(app, plane)

  app.post(routes.sessionResume, async (c) => {
    const body = await readBody(c, resumeSchema, {mayBeEmpty: true})
    const session_id = c.req.param('session')
    const task = await resumeSession(c, plane, {...body, session_id, codebase_id: c.req.param('codebase')})
    const {codebase_id, agent_type: agent} = task
    const message = `Task queued for worker (task: ${task.id})`
    return c.json({success: true, message, session_id, task_id: task.id, codebase_id, agent, task: wireTask(task)})
  })
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
