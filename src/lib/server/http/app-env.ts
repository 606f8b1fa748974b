import type {HttpBindings} from '@hono/node-server'
import type {Identity} from './auth.ts'

/** What a handler finds in Hono's context: Node's request and response, and whose token the request carried. */
export type AppEnv = {Bindings: HttpBindings; Variables: {identity: Identity | undefined}}
