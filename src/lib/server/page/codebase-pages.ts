import type {Hono} from 'hono'
import * as v from 'valibot'
import {registerCodebaseSchema} from '../../protocol/schemas.ts'
import {resumeSchema} from '../../protocol/session-schemas.ts'
import type {AppEnv} from '../http/app-env.ts'
import {readForm} from '../http/body.ts'
import {pagePaths, pathOf} from '../http/page-rights.ts'
import {askForRegistration} from '../registry/codebase-routes.ts'
import {shownCodebase} from '../registry/codebase-list.ts'
import {resumeSession} from '../sessions/resume-session.ts'
import {listMessages, requireSession, wireSession} from '../sessions/session-view.ts'
import {serveLive, wantsEvents, type LiveOptions} from './live.ts'
import {loadViews, redirect, respond} from './respond.ts'
import {codebaseDetails, codebaseList} from './data/codebases.ts'
import {checkUnsigned, needsSignature, signedResume} from './data/signed-only.ts'
import {viewerOf} from './data/viewer.ts'

const messagesShown = 30
const liveMs = 5000

type Options = LiveOptions & {publicUrl: () => string}

const registerForm = v.object({
  path: registerCodebaseSchema.entries.path,
  name: v.optional(v.pipe(v.string(), v.trim()), ''),
})

const resumeForm = v.object({prompt: v.string(), model: v.optional(v.string(), '')})

/** The pages of codebases and sessions, and their forms. */
export function codebasePages(app: Hono<AppEnv>, options: Options): void {
  const {plane, following} = options
  app.get(pagePaths.codebases, async (c) => {
    const {codebasesPage} = await loadViews()
    const viewer = viewerOf(c)
    const list = codebaseList(plane, viewer, {
      page: Math.max(0, Math.trunc(Number(c.req.query('page'))) || 0),
      address: options.publicUrl(),
    })
    return respond(c, codebasesPage(viewer, list))
  })

  app.post(pagePaths.codebases, async (c) => {
    const {path, name} = await readForm(c, registerForm)
    const body = {name: name || path.replace(/\/+$/, '').split('/').at(-1) || path, path: path.trim()}
    const {worker_id: _, ...codebase} = v.parse(registerCodebaseSchema, body)
    const task = await askForRegistration(c, plane, codebase)
    return redirect(c, pathOf('task', {task: task.id}))
  })

  app.get(pagePaths.codebase, async (c) => {
    const {codebasePage, codebaseRegions} = await loadViews()
    const [id, viewer] = [c.req.param('codebase'), viewerOf(c)]
    const details = () => codebaseDetails(plane, viewer, id, c.req.query('cursor'))
    const first = details()
    if (!wantsEvents(c)) return respond(c, codebasePage(viewer, first))
    return serveLive(c, options, {
      regions: () => codebaseRegions(viewer, details()),
      follow: (notice) => following.hub.followCodebase(id, notice),
      everyMs: liveMs,
      pauseMs: 500,
    })
  })

  app.get(pagePaths.session, async (c) => {
    const {sessionPage} = await loadViews()
    const viewer = viewerOf(c)
    const reader = {codebaseId: c.req.param('codebase'), only: viewer.only}
    const session = requireSession(plane, reader, c.req.param('session'))
    const query = {limit: String(messagesShown), cursor: c.req.query('cursor')}
    const {messages, next} = listMessages(plane, reader, session.id, query)
    const codebase = shownCodebase(plane.state, reader.codebaseId)
    const older = next && pathOf('session', {codebase: codebase.id, session: session.id}, {cursor: next})
    const details = {
      codebase,
      session: wireSession(session),
      messages,
      older,
      now: plane.state.now,
      needsSignature: needsSignature(plane.state, codebase.id),
    }
    return respond(c, sessionPage(viewer, details))
  })

  app.post(pagePaths.session, async (c) => {
    const {prompt, model} = await readForm(c, resumeForm)
    const body = v.parse(resumeSchema, {prompt: prompt.trim() || null, model: model.trim() || null})
    const place = {codebase_id: c.req.param('codebase'), session_id: c.req.param('session')}
    const {codebase_id: codebase, session_id: session} = place
    checkUnsigned(needsSignature(plane.state, codebase), signedResume(codebase, session))
    const task = await resumeSession(c, plane, {...body, ...place})
    return redirect(c, pathOf('task', {task: task.id}))
  })
}
