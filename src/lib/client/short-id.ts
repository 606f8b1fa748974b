import {ExpectedError, usageError} from '../core/errors.ts'
import {taskStatuses} from '../protocol/statuses.ts'
import type {Task} from '../protocol/schemas.ts'
import type {ControlPlaneClient} from './control-plane.ts'
import {RefusedError} from './http.ts'
import {readTasks} from './read-tasks.ts'

/** Something with an id, and what tells it from others, for people. */
export type Candidate = {id: string; about: string}

/** A complete task id has this many characters (UUID). Nothing longer can begin with it. */
const fullIdChars = 36
const maxListed = 10

/**
 * The id that `given` stands for: the same id, or the only one that begins with it. Undefined if there is none. Throws
 * ExpectedError (2) that lists the candidates if there are several.
 */
export function matchId(kind: string, given: string, candidates: readonly Candidate[]): string | undefined {
  const matches = given === '' ? [] : candidates.filter(({id}) => id.startsWith(given))
  if (matches.some(({id}) => id === given)) return given
  const [only, another] = matches
  if (another === undefined) return only?.id
  const more = matches.length - maxListed
  throw new ExpectedError(`Several ${kind}s have an id that begins with ${given}. Give more of the id.`, {
    code: 'AMBIGUOUS_ID',
    exit: 'usage',
    suggestions: [
      ...matches.slice(0, maxListed).map(({id, about}) => `${id}  ${about}`),
      ...(more > 0 ? [`… and ${more} more`] : []),
    ],
  })
}

/**
 * Runs an action with an id as the user gave it. If the server does not know the id, it may be the beginning of one: it
 * is looked up, and the action runs again. So a complete id costs no further request.
 */
async function withId<T>(
  given: string,
  lookUp: () => Promise<string | undefined>,
  action: (id: string) => Promise<T>,
): Promise<T> {
  if (given === '') throw usageError('The id is empty.')
  try {
    return await action(given)
  } catch (error) {
    const isUnknown = error instanceof RefusedError && error.status === 404 && !error.hasNoRoute
    const id = isUnknown && given.length < fullIdChars ? await lookUp() : undefined
    if (id === undefined || id === given) throw error
    return await action(id)
  }
}

/** Runs an action with the id of a task, of which the user may have given the beginning only. */
export const withTaskId = <T>(client: ControlPlaneClient, given: string, action: (id: string) => Promise<T>) =>
  withId(given, async () => matchId('task', given, (await tasksLike(client, given)).map(describeTask)), action)

/** The same for the id of a worker. */
export const withWorkerId = <T>(client: ControlPlaneClient, given: string, action: (id: string) => Promise<T>) =>
  withId(given, () => findWorkerId(client, given), action)

/** The id of the worker with this id, beginning of an id, or name. */
export async function findWorkerId(client: ControlPlaneClient, given: string): Promise<string | undefined> {
  const workers = await client.workers()
  const named = workers.filter(({name}) => name === given)
  if (named.length === 1) return named[0]?.worker_id
  return matchId(
    'worker',
    given,
    workers.map(({worker_id: id, name, hostname}) => ({
      id,
      about: hostname === null ? name : `${name} on ${hostname}`,
    })),
  )
}

/** OpenCode's ids of sessions: the prefix, the time and a random part. */
const fullSessionId = /^ses_[0-9a-f]{12}[0-9A-Za-z]{14}$/

/** The id of a session of this codebase. One that the control plane does not know is returned unchanged. */
export async function findSessionId(client: ControlPlaneClient, codebaseId: string, given: string): Promise<string> {
  if (fullSessionId.test(given)) return given
  try {
    return matchId('session', given, await sessionsOf(client, codebaseId)) ?? given
  } catch (error) {
    if (error instanceof RefusedError) return given // the worker will look for the session
    throw error
  }
}

async function sessionsOf(client: ControlPlaneClient, codebaseId: string): Promise<Candidate[]> {
  const found: Candidate[] = []
  for (let cursor: string | undefined; ;) {
    const page = await client.sessions(codebaseId, {limit: 500, ...(cursor ? {cursor} : {})})
    found.push(...page.sessions.map(({id, title}) => ({id, about: title})))
    cursor = page.next
    if (cursor === undefined) return found
  }
}

export const describeTask = ({id, status, title}: Task): Candidate => ({id, about: `${status}  ${title.slice(0, 60)}`})

/**
 * Tasks whose id may begin with this. Our control plane filters them. The existing server lists at most a hundred tasks
 * for a query, so there each status and each codebase is asked for.
 */
export async function tasksLike(client: ControlPlaneClient, given: string): Promise<readonly Task[]> {
  const first = await readTasks(client, {id_prefix: given, order: 'newest'}, maxListed * 2)
  if (!first.isCapped) return first.tasks
  const codebases = await client.codebases()
  const queries = [
    ...taskStatuses.map((status) => ({status, limit: 100})),
    ...codebases.map(({id}) => ({codebase_id: id, limit: 100})),
  ]
  const pages = await Promise.all(queries.map((query) => client.tasks(query)))
  const all = [first, ...pages].flatMap(({tasks}) => tasks)
  return [...new Map(all.map((task) => [task.id, task])).values()]
}
