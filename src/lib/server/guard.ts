import type {Context, Handler, Hono} from 'hono'
import {routePath} from 'hono/route'
import type {RefusalAudit} from './refusal-audit.ts'
import {bindingsIn} from './rules/registry/binding.ts'
import {mayRead, ownsCodebase} from './rules/dispatch/boundary.ts'
import {isPseudoCodebase} from './rules/dispatch/roster.ts'
import type {State} from './state/state.ts'
import type {AppEnv} from './http/app-env.ts'
import {boundWorkerOf, mayActAs, named, type Identity} from './http/auth.ts'
import {conflict, HttpError, notFound} from './http/http-error.ts'
import type {Verb} from './http/operations.ts'
import {rightOf} from './http/page-rights.ts'
import {everybody, type Own, type Right} from './http/rights.ts'
import {addressOf} from './http/peer.ts'
import {workerIdOf} from './http/worker-id.ts'

const verbs: readonly Verb[] = ['get', 'post', 'put', 'delete']

export type GuardOptions = {state: State; refusalAudit: RefusalAudit}

/**
 * Puts a check of rights before each handler that is added from now on, so that nothing of a body is read without them.
 * Adding an operation without rights throws.
 */
export function guardRoutes(app: Hono<AppEnv>, options: GuardOptions): void {
  for (const verb of verbs) {
    const add = app[verb] as (path: string, ...handlers: Handler<AppEnv>[]) => unknown
    const addGuarded = (path: string, ...handlers: Handler<AppEnv>[]) => {
      const right = rightOf(verb, path)
      const guard: Handler<AppEnv> = (c, next) => {
        if (right !== everybody) checkAudited(c, options, right)
        return next()
      }
      return add(path, guard, ...handlers)
    }
    Object.assign(app, {[verb]: addGuarded})
  }
}

function checkAudited(c: Context<AppEnv>, {state, refusalAudit}: GuardOptions, right: Right): void {
  try {
    checkRight(c, state, right)
  } catch (error) {
    // other refusals of the guard are recorded where all answers of that kind are; most conflicts are none
    if (error instanceof HttpError && error.status === 409) recordRefusal(c, refusalAudit, error)
    throw error
  }
}

/**
 * Records a refused request in the audit. Without a known token, all refusals of one kind count together: whoever has none
 * cannot fill the audit.
 */
export function recordRefusal(
  c: Context<AppEnv>,
  audit: RefusalAudit,
  {status: answered, message, kind}: HttpError,
): void {
  const status = kind === 'wrong-token' ? 403 : answered // after many wrong tokens it is 429
  const identity = c.get('identity')
  const {method} = c.req
  const rule = identity ? `${status} ${method} ${routePath(c, -1)}` : String(status)
  const detail = `${status} ${method} ${c.req.path}: ${message}${identity ? '' : ` (from ${addressOf(c)})`}`
  audit.record({rule, who: identity?.name ?? null, worker_id: c.get('only') || null, detail})
}

/** Throws unless the token has this right. Whoever needs no token, and admins, may do all. */
function checkRight(c: Context<AppEnv>, state: State, right: Right): void {
  const identity = c.get('identity')
  if (!identity || identity.scope === 'admin') return
  if (identity.scope === 'metrics') {
    if (!right.metrics) throw new HttpError(403, `The token ${named(identity)}is for metrics: it may only read those`)
    return
  }
  if (identity.scope === 'client') {
    if (!right.client)
      throw new HttpError(
        403,
        `The token ${named(identity)}is a client's, ${'what' in right ? `it may not ${right.what}` : "not a worker's"}`,
      )
    return
  }

  if (right.worker === 'nothing')
    throw new HttpError(403, `The token ${named(identity)}is a worker's: it may not ${right.what}`)
  const only = boundWorkerOf(identity, bindingsIn(state)) ?? ''
  c.set('only', only)
  checks[right.worker]?.({c, state, identity, only})
}

type Request = {c: Context<AppEnv>; state: State; identity: Identity; only: string}

/** How it is checked that a request concerns only what is the worker's own. Lists are cut by their handlers. */
const checks: Partial<Record<Own, (request: Request) => void>> = {
  list({c, only}) {
    const {worker_id: asked} = c.req.query() // as the handlers read it: a name may be there twice, once escaped
    if (asked !== undefined && asked !== only) throw foreign(`Worker ${asked}`)
  },
  worker: ({c, state, identity}) => mayActAs(identity, c.req.param('worker') ?? '', bindingsIn(state)),
  itself: ({c, state, identity}) => mayActAs(identity, workerIdOf(c), bindingsIn(state)),
  codebase: (request) => checkCodebase(request, isPseudoCodebase),
  'whole-codebase': (request) => checkCodebase(request, () => false),
  task({c, state, only}) {
    const task = state.get('task', c.req.param('task') ?? '')
    // also where it exists: a worker that reads a task which another one holds now stops its own run, as it must
    if (!task || !mayRead(state, only, task)) throw notFound('Task not found, or it belongs to another worker')
  },
  holder({c, state, only}) {
    const id = c.req.param('task') ?? ''
    if (only === '') throw new HttpError(403, 'Register a worker first: the token belongs to no worker')
    if (state.get('lease', id)?.workerId === only) return // spares reading a long prompt
    const task = state.get('task', id)
    // a worker gives up a report that is answered so; after a 403 it would repeat it
    if (task && !mayRead(state, only, task)) throw conflict(`Task ${id} is not held by worker ${only}`)
  },
}

/** An unknown codebase is left to the handler, which answers 404. */
function checkCodebase({c, state, only}: Request, isShared: (id: string) => boolean): void {
  const id = c.req.param('codebase') ?? ''
  if (isShared(id) || ownsCodebase(state, only, id)) return
  if (isPseudoCodebase(id) || state.get('codebase', id)) throw foreign(`Codebase ${id}`)
}

const foreign = (what: string) => new HttpError(403, `${what} belongs to another worker`)
