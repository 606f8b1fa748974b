import type {RefusalKind} from '../http/http-error.ts'

const kinds: Record<RefusalKind, {text: string; /** Fewer in a minute are no news. */ from: number}> = {
  'wrong-token': {text: 'requests with a wrong token', from: 1},
  rate: {text: 'requests refused by --max-requests', from: 1},
  streams: {text: 'streams refused by --max-streams', from: 1},
  connections: {text: 'requests refused because too many connections are open', from: 1},
  bodies: {text: 'requests refused because too many bytes were being received', from: 1},
  'no-token': {text: 'requests without a token', from: 10},
  'no-right': {text: 'requests that their tokens do not allow', from: 10},
  'hang-up': {text: 'clients that hung up while they sent a request', from: 10},
}

const kindNames = Object.keys(kinds) as RefusalKind[]

/** Further clients are counted together. */
const maxClients = 100
const shownClients = 3

/** Counts refusals, and writes one line per kind a minute, so that a flood of requests is no flood of the log. */
export class Refusals {
  readonly #log: (text: string) => void
  readonly #intervalMs: number
  readonly #counts = new Map<RefusalKind, Map<string, number>>()
  readonly #totals = new Map<RefusalKind, number>(kindNames.map((kind) => [kind, 0]))
  #timer: NodeJS.Timeout | undefined

  constructor(log: (text: string) => void, intervalMs: number) {
    this.#log = log
    this.#intervalMs = intervalMs
  }

  /** How many there were of each kind since the start. */
  get totals(): ReadonlyMap<RefusalKind, number> {
    return this.#totals
  }

  /** `client`: the name of its token, or its address. */
  count(kind: RefusalKind, client: string): void {
    this.#totals.set(kind, (this.#totals.get(kind) ?? 0) + 1)
    const clients = this.#counts.get(kind) ?? new Map<string, number>()
    this.#counts.set(kind, clients)
    const name = clients.has(client) || clients.size < maxClients ? client : 'others'
    clients.set(name, (clients.get(name) ?? 0) + 1)
    this.#timer ??= setTimeout(() => this.#flush(), this.#intervalMs).unref()
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  #flush(): void {
    this.#timer = undefined
    for (const [kind, clients] of this.#counts) {
      const {text, from} = kinds[kind]
      const total = [...clients.values()].reduce((sum, count) => sum + count, 0)
      if (total < from) continue
      const most = [...clients].toSorted(([, a], [, b]) => b - a)
      const named = most.slice(0, shownClients).map(([client, count]) => `${client} (${count})`)
      const rest = most.length > shownClients ? `, and ${most.length - shownClients} more` : ''
      this.#log(
        `${total} ${text} in the last ${Math.round(this.#intervalMs / 1000)} s, from ${named.join(', ')}${rest}`,
      )
    }
    this.#counts.clear()
  }
}
