/** A request that is answered with no: the status, and the `detail` of the body in the existing server's shape. */
export class Refusal extends Error {
  readonly status: 400 | 401 | 403 | 404 | 409 | 413 | 422
  readonly detail: unknown
  /** Further fields of the body. */
  readonly extra: Record<string, unknown>

  constructor(status: Refusal['status'], detail: unknown, extra: Record<string, unknown> = {}) {
    super(typeof detail === 'string' ? detail : 'invalid request')
    this.status = status
    this.detail = detail
    this.extra = extra
  }
}

export const notFound = (what: string) => new Refusal(404, `${what} not found`)
export const conflict = (detail: string, extra?: Record<string, unknown>) => new Refusal(409, detail, extra)
