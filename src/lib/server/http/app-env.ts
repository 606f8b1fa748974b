import type {HttpBindings} from '@hono/node-server'
import type {Identity} from './auth.ts'
import type {BodyUse} from './body-budget.ts'

/** Who is counted: a token wherever it is used, or an address without a token. */
export type Client = {
  key: string
  /** For the log. */
  name: string
  /** Without a token on this machine: it may do what it wants here anyway, and a proxy may stand before many others. */
  isFree: boolean
}

/** What a handler finds in Hono's context, besides Node's request and response. */
export type AppEnv = {
  Bindings: HttpBindings
  Variables: {
    /** Whose token the request carried. */
    identity: Identity | undefined
    client: Client
    /** Counts the memory of the body. */
    body: BodyUse
    /** The only worker whose data the request may concern. Undefined: all. Empty: none. */
    only: string | undefined
  }
}
