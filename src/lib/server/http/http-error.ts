/** Refusals that come in floods, so the log counts them instead of showing each. */
export type RefusalKind =
  'wrong-token' | 'no-token' | 'no-right' | 'rate' | 'streams' | 'connections' | 'bodies' | 'hang-up'

type Details = {
  /** More fields of the body. */
  more?: Record<string, unknown>
  headers?: Record<string, string>
  kind?: RefusalKind
}

/** An error response with the body of the existing server: `{"detail": …}`. */
export class HttpError extends Error {
  readonly status: 400 | 401 | 403 | 404 | 405 | 409 | 413 | 422 | 429 | 503
  readonly body: Record<string, unknown>
  readonly headers: Record<string, string>
  readonly kind: RefusalKind | undefined

  constructor(status: HttpError['status'], detail: unknown, {more = {}, headers = {}, kind}: Details = {}) {
    super(typeof detail === 'string' ? detail : 'invalid request')
    this.name = 'HttpError'
    this.status = status
    this.body = {detail, ...more}
    this.headers = headers
    this.kind = kind ?? kindOf[status]
  }
}

const kindOf: Partial<Record<HttpError['status'], RefusalKind>> = {401: 'no-token', 403: 'no-right'}

export const conflict = (detail: string, more: Record<string, unknown> = {}) => new HttpError(409, detail, {more})
export const notFound = (what: string) => new HttpError(404, what)

/**
 * Too much now, but another try may succeed after so many seconds (`Retry-After`): 429 if it is the client's own doing,
 * 503 if it is not. The rest of the request is not read, so the connection is closed.
 */
export const tryLater = (status: 429 | 503, detail: string, seconds: number, kind: RefusalKind) =>
  new HttpError(status, detail, {
    headers: {'retry-after': String(Math.max(1, Math.ceil(seconds))), connection: 'close'},
    kind,
  })
