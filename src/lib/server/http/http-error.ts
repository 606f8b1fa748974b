/** An error response with the body of the existing server: `{"detail": …}`. */
export class HttpError extends Error {
  readonly status: 400 | 401 | 403 | 404 | 405 | 409 | 413 | 422 | 503
  readonly body: Record<string, unknown>

  constructor(status: HttpError['status'], detail: unknown, more: Record<string, unknown> = {}) {
    super(typeof detail === 'string' ? detail : 'invalid request')
    this.name = 'HttpError'
    this.status = status
    this.body = {detail, ...more}
  }
}

export const conflict = (detail: string, more?: Record<string, unknown>) => new HttpError(409, detail, more)
export const notFound = (what: string) => new HttpError(404, what)
