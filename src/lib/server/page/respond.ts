import type {Context} from 'hono'
import type {AppEnv} from '../http/app-env.ts'
import {HttpError} from '../http/http-error.ts'
import {pagePaths, pathOf, wayBack} from '../http/page-rights.ts'
import {viewerOf} from './data/viewer.ts'
import type {Page} from './views/layout.tsx'

/**
 * Only the files of the page itself are loaded, and no other site may show it in a frame. The referrer is kept within the
 * page: without any, browsers would not say where a form comes from.
 */
const headers = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'self'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-store',
}

/** The templates are loaded with the first page: a control plane that nobody looks at does not need them. */
export const loadViews = () => import('./views/pages.tsx')

/** Answers with a page. */
export function respond(c: Context<AppEnv>, page: Page, status: HttpError['status'] | 200 = 200): Response {
  const {pathname, search} = new URL(c.req.url)
  return c.html(page(pathname + search), status, headers)
}

/** Leads the browser to another page, after a form. `address`: of `pathOf`. */
export function redirect(c: Context<AppEnv>, address: string): Response {
  for (const [name, value] of Object.entries(headers)) c.header(name, value)
  return c.redirect(wayBack(new URL(c.req.url).pathname) + address, 303)
}

/** What is wrong, for people: one text, or the fields of a form. */
export function problemText({body, message}: HttpError): string {
  const {detail} = body
  if (!Array.isArray(detail)) return message
  return detail
    .slice(0, 5)
    .map((issue: {loc?: unknown[]; msg?: string}) => `${String(issue.loc?.at(-1) ?? 'a field')}: ${issue.msg ?? ''}`)
    .join('; ')
}

/** The address, if it leads to a page of ours. */
export const ownPath = (address: string | null | undefined): string =>
  /^ui(?:[/?][^\\\s]*)?$/.test(address ?? '') ? (address ?? '') : ''

/** Where a person wanted to go who has to try again. */
function wantedPath(c: Context<AppEnv>): string {
  const from = c.req.header('referer') ?? ''
  return ownPath(URL.canParse(from) ? new URL(from).searchParams.get('next') : '')
}

/** Pages in place of the JSON that the API answers. */
export const respondWithPage = {
  async problem(c: Context<AppEnv>, error: HttpError): Promise<Response> {
    const {loginPage, problemPage} = await loadViews()
    for (const [name, value] of Object.entries(error.headers)) c.header(name, value)
    const text = problemText(error)
    const isLogin = c.req.path === pagePaths.login
    const html = isLogin
      ? loginPage({problem: text, next: wantedPath(c)})
      : problemPage(viewerOf(c), error.status, text)
    return respond(c, html, error.status)
  },

  /** A person is asked to log in. The script of a page is told that it is logged out. */
  async login(c: Context<AppEnv>): Promise<Response> {
    const isPage = c.req.method === 'GET' && c.req.header('accept')?.includes('text/html')
    if (!isPage) return respondWithPage.problem(c, new HttpError(401, 'Log in first: your session is over'))
    const {pathname, search} = new URL(c.req.url)
    return redirect(c, pathOf('login', {}, {next: `${pathname}${search}`.slice(1)}))
  },
}
