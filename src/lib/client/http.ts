import {setTimeout as sleep} from 'node:timers/promises'
import type {Dispatcher} from 'undici'
import * as v from 'valibot'
import {ExpectedError, messageOf} from '../core/errors.ts'
import {isLoopback} from '../core/loopback.ts'
import {requestSignal} from '../core/request-signal.ts'
import {trustSystemStore} from '../core/tls.ts'
import {describeIssues, parseJson} from '../protocol/parse.ts'
import {errorBodySchema} from '../protocol/schemas.ts'
import {localConnector, type LocalAddress} from './local-plane.ts'
import {checkServer, nameOf, networkProblem, type NetworkProblem, type Proxy} from './network-problem.ts'
import {Agent, BodyTimeoutError, createProxyAgent, request} from './undici.ts'

/** The server refused a request. */
export class RefusedError extends ExpectedError {
  readonly status: number
  readonly detail: string
  /** Seconds, from `Retry-After`. */
  readonly retryAfter: number | undefined
  /** From a 409 about output of our control plane: the offset at which to continue. */
  readonly next: number | undefined
  /** The body was plain text: the existing server answers so when a handler crashes. */
  readonly plain: boolean

  constructor(
    what: string,
    answer: {status: number; detail: string; retryAfter?: number; next?: number; plain: boolean},
  ) {
    super(`${what}: ${reasonOf(answer)} (HTTP ${answer.status}).`, refusal(answer))
    this.status = answer.status
    this.detail = answer.detail
    this.retryAfter = answer.retryAfter
    this.next = answer.next
    this.plain = answer.plain
  }

  /** The route is missing, not the resource: servers answer `Not Found` or 405 then. */
  get hasNoRoute(): boolean {
    return isMissingRoute(this)
  }
}

/** The server did not answer, or the answer is not from a control plane. Another try may succeed. */
export class UnreachableError extends ExpectedError {}

type Refusal = Pick<RefusedError, 'status' | 'detail'>

const isMissingRoute = ({status, detail}: Refusal) => status === 405 || (status === 404 && detail === 'Not Found')

const reasonOf = (answer: Refusal) =>
  isMissingRoute(answer) ? 'this server cannot do that: it has no such route' : answer.detail

function refusal(answer: Refusal): ConstructorParameters<typeof ExpectedError>[1] {
  const {status} = answer
  if (isMissingRoute(answer))
    return {
      code: 'NO_SUCH_ROUTE',
      exit: 'failed',
      suggestions: [
        'The existing CodeTether server lacks some functions. Is it the right server? `status` shows its URL.',
      ],
    }
  if (status === 401 || status === 403)
    return {
      code: status === 401 ? 'UNAUTHORIZED' : 'FORBIDDEN',
      exit: 'refused',
      suggestions: ['Set the right token: A2A_AUTH_TOKEN, or auth_token or auth_token_file in the configuration.'],
    }
  if (status === 429)
    return {
      code: 'TOO_MANY_REQUESTS',
      exit: 'temporary',
      suggestions: ['Wait and try again. The limits are those of the control plane: see --max-requests of `serve`.'],
    }
  if (status >= 500) return {code: 'SERVER_ERROR', exit: 'temporary', suggestions: ['Try again later.']}
  return {code: 'REFUSED', exit: 'failed'}
}

/** Longer waits are not obeyed: a server must not be able to stop a worker for hours. */
const maxRetryAfterMs = 60_000

/** How long the server asks to wait before the next try (`Retry-After`), at most a minute. 0 if it does not ask. */
export const retryAfterMs = (error: unknown): number =>
  error instanceof RefusedError ? Math.min((error.retryAfter ?? 0) * 1000, maxRetryAfterMs) : 0

/** Whether another try may succeed. Network faults, overload and server errors pass; a bad request does not. */
export const isTransient = (error: unknown): boolean =>
  !(error instanceof RefusedError) ||
  error.status === 408 ||
  error.status === 425 ||
  error.status === 429 ||
  error.status >= 500

/** Nobody answers at the server's address. The connection of a worker reports that already. */
export const isSilence = (error: unknown): boolean =>
  error instanceof UnreachableError && ['SERVER_UNREACHABLE', 'LOCAL_PLANE_ENDED'].includes(error.code)

/** 401 and 403: only a person can fix it. */
export const isUnauthorized = (error: unknown): boolean =>
  error instanceof RefusedError && (error.status === 401 || error.status === 403)

/** The message of an error, with suggestions if only a person can fix it. */
export const messageWithSuggestions = (error: unknown): string =>
  error instanceof RefusedError && isUnauthorized(error)
    ? [error.message, ...error.suggestions].join(' ')
    : messageOf(error)

/** The route or the resource does not exist. A server without an optional route may answer 405. */
export const isNotFound = (error: unknown): boolean =>
  error instanceof RefusedError && (error.status === 404 || error.status === 405)

export type HttpOptions = {
  baseUrl: string
  token?: string | undefined
  proxy?: Proxy | undefined
  /** Reads the address of the control plane of this machine, if that is the server. It proves itself before each use. */
  local?: (() => LocalAddress | undefined) | undefined
}

export type Call = {
  /** The start of error messages: `Cannot create the task`. */
  what: string
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  path: string
  json?: unknown
  raw?: {type: string; body: Buffer}
  headers?: Record<string, string>
  signal?: AbortSignal | undefined
  timeoutMs?: number
  /** Name of a route that some servers do not have. If it is missing, it is not requested again for an hour. */
  optional?: string
}

/** Done, created, and stored for later. */
const answered: readonly number[] = [200, 201, 202]

const missingRouteMs = 60 * 60_000

const connections = {connections: 64, keepAliveTimeout: 30_000, keepAliveMaxTimeout: 60_000, pipelining: 1}

const maxAnswer = 72 * 1024 * 1024

/** HTTP client of one control plane: keep-alive connections, bounded answers, errors with suggestions. */
export class HttpClient implements AsyncDisposable {
  /** Changes only if the control plane of this machine returns on another port. */
  baseUrl: string
  readonly proxy: Proxy | undefined
  readonly #origin: string
  readonly #prefix: string
  #token: string | undefined
  #renewal = new AbortController()
  readonly #missingRoutes = new Map<string, {refusal: Error; until: number}>()
  readonly #dispatcher: Dispatcher

  constructor({baseUrl, token, proxy, local}: HttpOptions) {
    if ([baseUrl, proxy?.url].some((url) => url?.startsWith('https:'))) trustSystemStore()
    this.proxy = proxy
    this.#dispatcher = proxy
      ? createProxyAgent({...connections, uri: proxy.url})
      : new Agent({...connections, ...(local ? {connect: localConnector(() => this.#follow(local()))} : {})})
    this.baseUrl = baseUrl.replace(/\/+$/, '')
    const {origin, pathname} = new URL(this.baseUrl)
    this.#origin = origin
    this.#prefix = pathname === '/' ? '' : pathname
    this.#token = token
  }

  /** Names the server by its newest address. */
  #follow(address: LocalAddress | undefined): LocalAddress | undefined {
    if (address) this.baseUrl = address.url
    return address
  }

  /** Changes the token for later requests. Open streams keep theirs. Returns false if the token is the same. */
  renewToken(token: string | undefined): boolean {
    if (token === this.#token) return false
    this.#token = token
    this.#renewal.abort()
    this.#renewal = new AbortController()
    return true
  }

  /** Aborted when the current token is replaced. Requests that were refused for it may then be retried. */
  get untilRenewed(): AbortSignal {
    return this.#renewal.signal
  }

  /** Sends a request and parses the answer. Throws RefusedError or UnreachableError. */
  async call<const S extends v.GenericSchema<unknown, unknown>>(schema: S, call: Call): Promise<v.InferOutput<S>> {
    const {value} = await this.callWithHeaders(schema, call)
    return value
  }

  async callWithHeaders<const S extends v.GenericSchema<unknown, unknown>>(
    schema: S,
    call: Call,
  ): Promise<{value: v.InferOutput<S>; headers: Record<string, string | string[] | undefined>}> {
    return await patiently(call.signal, () => this.#callOnce(schema, call))
  }

  async #callOnce<const S extends v.GenericSchema<unknown, unknown>>(
    schema: S,
    call: Call,
  ): Promise<{value: v.InferOutput<S>; headers: Record<string, string | string[] | undefined>}> {
    this.#checkMissingRoute(call)
    using op = requestSignal(call.signal, call.timeoutMs ?? 30_000)
    const {status, headers, text} = await this.#exchange(call, op.signal)
    const type = String(headers['content-type'] ?? '')
    const body = type.includes('json') ? parseJson(text) : undefined
    if (!answered.includes(status))
      throw this.#recordMissingRoute(call, this.#refused(call, status, headers, body, text))
    if (body === undefined) throw this.#notOurs(call, status, type, text)
    const parsed = v.safeParse(schema, body)
    if (!parsed.success)
      throw this.#unreachable(call, {
        reason: `the answer is not what a control plane sends: ${describeIssues(parsed.issues)}`,
        code: 'BAD_ANSWER',
        suggestion: checkServer,
      })
    return {value: parsed.output, headers}
  }

  /** Opens a stream. Resolves with the body once the server answered 200 with events. Throws as `call` does. */
  open(call: Call & {silenceMs: number; signal: AbortSignal}): Promise<AsyncIterable<Uint8Array>> {
    return patiently(call.signal, () => this.#openOnce(call))
  }

  async #openOnce(call: Call & {silenceMs: number; signal: AbortSignal}): Promise<AsyncIterable<Uint8Array>> {
    try {
      const response = await request(this.#dispatcher, {
        ...this.#target(call),
        method: 'GET',
        headers: this.#headers({...call, headers: {accept: 'text/event-stream', ...call.headers}}),
        signal: call.signal,
        headersTimeout: call.timeoutMs ?? 30_000,
        bodyTimeout: 0, // undici looks twice a second, so an idle program would not sleep; see `#read`
      })
      const type = String(response.headers['content-type'] ?? '')
      if (response.statusCode === 200 && type.includes('text/event-stream')) return this.#read(call, response.body)
      const text = await readBounded(response.body, 64 * 1024)
      if (response.statusCode === 200) throw this.#notOurs(call, 200, type, text)
      throw this.#refused(
        call,
        response.statusCode,
        response.headers,
        type.includes('json') ? parseJson(text) : undefined,
        text,
      )
    } catch (error) {
      throw this.#wrapped(call, error)
    }
  }

  /** Reads a body until it ends or is silent for too long, and translates errors. */
  async *#read(call: Call & {silenceMs: number}, body: Dispatcher.ResponseData['body']): AsyncGenerator<Uint8Array> {
    const startSilence = () => setTimeout(() => body.destroy(new BodyTimeoutError()), call.silenceMs)
    let silence = startSilence()
    try {
      for await (const bytes of body) {
        clearTimeout(silence)
        yield bytes as Uint8Array
        silence = startSilence()
      }
    } catch (error) {
      throw this.#wrapped(call, error)
    } finally {
      clearTimeout(silence)
    }
  }

  #checkMissingRoute({optional = ''}: Call): void {
    const known = this.#missingRoutes.get(optional)
    if (known && performance.now() < known.until) throw known.refusal
  }

  /** Remembers that an optional route is missing. */
  #recordMissingRoute({optional}: Call, refusal: Error): Error {
    const isMissing = isNotFound(refusal) && (refusal as RefusedError).hasNoRoute
    if (optional && isMissing) this.#missingRoutes.set(optional, {refusal, until: performance.now() + missingRouteMs})
    return refusal
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispatcher.destroy()
  }

  async #exchange(call: Call, signal: AbortSignal) {
    try {
      const response = await request(this.#dispatcher, {
        ...this.#target(call),
        method: call.method ?? 'GET',
        headers: this.#headers(call),
        body: call.raw ? call.raw.body : call.json === undefined ? null : JSON.stringify(call.json),
        signal,
      })
      return {status: response.statusCode, headers: response.headers, text: await readBounded(response.body, maxAnswer)}
    } catch (error) {
      // For a timed out or cancelled request the reason of the signal is the better error.
      throw this.#wrapped(call, signal.aborted ? signal.reason : error)
    }
  }

  #target({path}: Call) {
    return {origin: this.#origin, path: `${this.#prefix}${path}`}
  }

  #headers(call: Call): Record<string, string> {
    return {
      accept: 'application/json',
      ...(call.raw
        ? {'content-type': call.raw.type}
        : call.json === undefined
          ? {}
          : {'content-type': 'application/json'}),
      ...(this.#token === undefined ? {} : {authorization: `Bearer ${this.#token}`}),
      ...call.headers,
    }
  }

  #wrapped(call: Call, error: unknown): unknown {
    if (error instanceof ExpectedError) return error
    if (call.signal?.aborted) return error
    return this.#unreachable(call, networkProblem(error, this.baseUrl, this.proxy), error)
  }

  #unreachable(call: Call, {reason, code, suggestion}: NetworkProblem, cause?: unknown): UnreachableError {
    const message = `${call.what}: ${this.baseUrl}: ${reason}.`
    return new UnreachableError(message, {code, exit: 'unreachable', suggestions: [suggestion], cause})
  }

  /** An answer in another form than a control plane's may be of the proxy. */
  #withProxy = (text: string) => (this.proxy ? `${text}; asked through ${nameOf(this.proxy)}` : text)

  #notOurs(call: Call, status: number, type: string, text: string): UnreachableError {
    const name = type.split(';')[0] ?? ''
    const kind = isPage(type, text)
      ? 'an HTML page'
      : type.includes('json')
        ? status === 200
          ? 'malformed JSON'
          : 'other JSON'
        : name || 'something without a content type'
    const other = /sent to HTTPS port|to an HTTPS server/.test(text)
      ? 'it speaks HTTPS on this port: use https:// in the address'
      : `answered ${status === 200 ? kind : `HTTP ${status} with ${kind}`}, which no control plane does: ${this.#someoneElse()}`
    return this.#unreachable(call, {reason: other, code: 'NOT_A_CONTROL_PLANE', suggestion: checkServer})
  }

  #someoneElse(): string {
    if (this.proxy) return `${nameOf(this.proxy)} or another site may be in between`
    return isLoopback(new URL(this.baseUrl).hostname)
      ? 'another program may use its port'
      : 'a proxy or another site may be in between'
  }

  #refused(call: Call, status: number, headers: Record<string, unknown>, body: unknown, text: string): Error {
    const parsed = v.safeParse(errorBodySchema, body)
    if (!parsed.success && status >= 300 && status < 400)
      return this.#unreachable(call, {
        reason: `redirects to ${String(headers['location'] ?? 'elsewhere')}; give that address`,
        code: 'REDIRECTED',
        suggestion: checkServer,
      })
    const type = String(headers['content-type'] ?? '')
    // A control plane refuses in JSON with a `detail`. Another form comes from a proxy, or from another program.
    const isOfProxy = (isPage(type, text) && status < 500) || [401, 403, 404, 405].includes(status)
    if (!parsed.success && isOfProxy) return this.#notOurs(call, status, type, text)
    const retryAfter = Number(headers['retry-after'])
    return new RefusedError(call.what, {
      status,
      detail: parsed.success ? detailText(parsed.output.detail) : this.#withProxy(oneLine(text) || `HTTP ${status}`),
      plain: !parsed.success,
      ...(Number.isFinite(retryAfter) && retryAfter >= 0 ? {retryAfter} : {}),
      ...(parsed.success && parsed.output.next !== undefined ? {next: parsed.output.next} : {}),
    })
  }
}

const maxPatienceMs = 5000
const maxPatientTries = 4

/**
 * Repeats a request that was refused for its rate (429), if the server asks for a short wait: such a request had no
 * effect. The jitter keeps clients that were refused together from returning together.
 */
async function patiently<T>(signal: AbortSignal | undefined, step: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await step()
    } catch (error) {
      const waitMs = error instanceof RefusedError && error.status === 429 ? retryAfterMs(error) : 0
      if (waitMs === 0 || waitMs > maxPatienceMs || tries >= maxPatientTries) throw error
      await sleep(waitMs * (1 + Math.random() / 4), undefined, {signal})
    }
  }
}

type Detail = v.InferOutput<typeof errorBodySchema>['detail']

const detailText = (detail: Detail): string =>
  typeof detail === 'string'
    ? detail.replace(/\.$/, '')
    : detail.map(({loc, msg}) => `${loc.filter(isName).join('.')}: ${msg}`).join('; ')

const isName = (part: unknown) => (typeof part === 'string' && part !== 'body') || typeof part === 'number'

const isPage = (type: string, text: string) => /^\s*</.test(text) || type.includes('html')

/** Sliced first: a proxy may send megabytes, and many `<` would make the expression slow. */
const oneLine = (text: string) =>
  text
    .slice(0, 10_000)
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .slice(0, 200)

async function readBounded(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > maxBytes) throw new Error(`the answer is over ${maxBytes} bytes`)
    text += decoder.decode(chunk, {stream: true})
  }

  return text + decoder.decode()
}
