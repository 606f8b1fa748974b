import {routes, type Route} from '../../protocol/routes.ts'
import type {Verb} from './operations.ts'
import {apiRightOf, everybody, rights, type Right} from './rights.ts'

/** The paths of the monitor page. A browser that asks for `/` gets `overview`. */
export const pagePaths = {
  overview: '/ui',
  asset: '/ui/assets/:file',
  login: '/ui/login',
  logout: '/ui/logout',
  enter: '/ui/enter',
  tasks: '/ui/tasks',
  newTask: '/ui/new',
  task: '/ui/tasks/:task',
  rawOutput: '/ui/tasks/:task/output',
  cancel: '/ui/tasks/:task/cancel',
  retry: '/ui/tasks/:task/retry',
  inputs: '/ui/tasks/:task/inputs',
  codebases: '/ui/codebases',
  codebase: '/ui/codebases/:codebase',
  session: '/ui/codebases/:codebase/sessions/:session',
} as const
export type PagePath = keyof typeof pagePaths

type Borrowed = [Route, Verb] | typeof everybody

/** A page has the rights of the operation of the API that does the same. */
const borrowed: Record<PagePath, {get?: Borrowed; post?: Borrowed}> = {
  overview: {get: ['monitorWorkers', 'get']},
  asset: {get: everybody},
  login: {get: everybody, post: everybody},
  logout: {post: everybody},
  enter: {get: everybody, post: everybody},
  tasks: {get: ['tasks', 'get']},
  newTask: {get: ['codebaseTasks', 'post'], post: ['codebaseTasks', 'post']},
  task: {get: ['task', 'get']},
  rawOutput: {get: ['taskOutput', 'get']},
  cancel: {post: ['taskCancel', 'post']},
  retry: {post: ['taskRetry', 'post']},
  inputs: {post: ['taskInputs', 'post']},
  codebases: {get: ['codebases', 'get'], post: ['codebases', 'post']},
  codebase: {get: ['codebase', 'get']},
  session: {get: ['session', 'get'], post: ['sessionResume', 'post']},
}

const rightOfBorrowed = (from: Borrowed): Right | typeof everybody => {
  if (from === everybody) return everybody
  const right = rights[from[0]][from[1]]
  if (right === undefined) throw new Error(`there is no operation ${from.join(' ')}`)
  return right
}

const pageRights = new Map<string, Right | typeof everybody>(
  (Object.keys(pagePaths) as PagePath[]).flatMap((page) =>
    (Object.entries(borrowed[page]) as [Verb, Borrowed][]).map(
      ([verb, from]) => [`${verb} ${pagePaths[page]}`, rightOfBorrowed(from)] as const,
    ),
  ),
)

/** The rights of an operation, by the path of its route. Throws if it has none: that is a bug. */
export function rightOf(verb: Verb, path: string): Right | typeof everybody {
  const right = apiRightOf(verb, path) ?? pageRights.get(`${verb} ${path}`)
  if (right === undefined) throw new Error(`${verb} ${path} has no rights: add it to the table`)
  return right
}

/** Whether a request is for the monitor page. */
export const isPage = (path: string): boolean =>
  path === pagePaths.overview || path.startsWith(`${pagePaths.overview}/`)

/** Whether a request is for a file of the page, which is the same for everybody. */
export const isAsset = (path: string): boolean => path.startsWith('/ui/assets/')

const open = new Set<string>([
  ...(Object.keys(routes) as Route[]).filter((route) => rights[route].get === everybody).map((route) => routes[route]),
  ...(Object.keys(pagePaths) as PagePath[])
    .filter((page) => Object.values(borrowed[page]).includes(everybody))
    .map((page) => pagePaths[page]),
])

/** Paths that never need a token. */
export const openPaths: Pick<ReadonlySet<string>, 'has'> = {has: (path) => open.has(path) || isAsset(path)}

/**
 * The address of a page with its parameters, escaped, and an optional query string. It is relative to the address of the
 * control plane, because only the browser knows that: a proxy may add a path, as in `https://host/plane/`.
 */
export function pathOf(
  page: PagePath,
  params: Record<string, string> = {},
  query: Record<string, string | undefined> = {},
): string {
  const path = pagePaths[page]
    .slice(1)
    .replace(/:([a-z]+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ''))
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) if (value) search.set(key, value)
  return search.size > 0 ? `${path}?${search}` : path
}

/** The first page, as `pathOf` would say it. */
export const firstPage = './'

/** The way from a path back to the address of the control plane. */
export const wayBack = (path: string): string => '../'.repeat(path.split('/').length - 2) || './'
