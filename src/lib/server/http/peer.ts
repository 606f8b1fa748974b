import type {Context} from 'hono'
import type {AppEnv} from './app-env.ts'

/** The network address of the client, or of the proxy in front of it. */
export const addressOf = (c: Context<AppEnv>): string | undefined => c.env.incoming.socket.remoteAddress

/** The name of the token of a request. Null without a token, and for one without a name. */
export const tokenNameOf = (c: Context<AppEnv>): string | null => c.get('identity')?.name || null

/** Whether the existing worker may have sent the request: it uses aiohttp. */
export const isPythonWorker = (c: Context<AppEnv>): boolean => /\baiohttp\b/i.test(c.req.header('user-agent') ?? '')
