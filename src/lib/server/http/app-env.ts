import type {HttpBindings} from '@hono/node-server'
import type {Identity} from './auth.ts'

/** What a handler finds in Hono's context, besides Node's request and response. */
export type AppEnv = {
  Bindings: HttpBindings
  Variables: {
    /** Whose token the request carried. */
    identity: Identity | undefined
    /** The only worker whose data the request may concern. Undefined: all. Empty: none. */
    only: string | undefined
  }
}
