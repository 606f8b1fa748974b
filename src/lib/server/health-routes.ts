import type {Hono} from 'hono'
import {isoTime} from '../core/clock.ts'
import {routes} from '../protocol/routes.ts'
import type {AppEnv} from './event-stream.ts'
import type {Parts} from './parts.ts'

/** For those who watch the plane itself. */
export function healthRoutes(app: Hono<AppEnv>, {store, clock}: Parts): void {
  const timestamp = () => isoTime(clock.now())
  app.get(routes.health, (c) => c.json({status: 'healthy', timestamp: timestamp()}))
  app.get(routes.livez, (c) => c.json({status: 'alive', timestamp: timestamp()}))
  // asks the store, so a database that cannot be read is an error here and not at the next task
  app.get(routes.readyz, (c) =>
    c.json({status: 'ready', workers: store.registry.workers().length, timestamp: timestamp()}),
  )
  app.get(routes.status, (c) =>
    c.json({
      available: true,
      message: 'Control plane ready; OpenCode runs on the workers',
      opencode_binary: null,
      registered_codebases: store.registry.codebases().length,
      auto_start: false,
      runtime: null,
      tasks: store.tasks.counts(),
    }),
  )
}
