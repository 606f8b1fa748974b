import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {exitCodes, messageOf, type ExpectedError} from '../lib/core/errors.ts'
import type {LocalWorker} from '../lib/control/local-workers.ts'
import type {MonitorWorker} from '../lib/protocol/schemas.ts'

const exits = {
  healthy: exitCodes.ok,
  degraded: exitCodes.failed,
  refused: exitCodes.refused,
  unreachable: exitCodes.unreachable,
  none: exitCodes.unreachable,
} as const

export type StatusReport = {
  /**
   * `degraded`: the server answers, but no worker is connected, or a worker of this machine takes no tasks. `refused`: it
   * does not accept the token. `none`: no server is configured, and none was started here.
   */
  state: keyof typeof exits
  server: string | null
  /** The file with the token, if the server is the control plane of this machine. */
  token_file: string | null
  error: string | null
  suggestions: string[]
  local: LocalWorker[]
  workers: MonitorWorker[]
  queue: {pending: number; running: number}
}

export default class Status extends BaseCommand {
  static override summary = 'Show the workers of this machine, the control plane, other workers and the queue'
  static override description =
    'Exits 0 if all is well, 1 if no worker is connected or a worker here takes no tasks because of a problem, 69 if there is no control plane or it cannot be reached, 77 if it refuses the token.'
  static override examples = ['<%= config.bin %> <%= command.id %>', '<%= config.bin %> <%= command.id %> --json']
  static override flags = {
    name: Flags.string({char: 'n', summary: 'Show only this worker of this machine: name or id, or its beginning'}),
  }

  async run(): Promise<StatusReport> {
    const {flags} = await this.parse(Status)
    const [{findNamedWorkers, areServicesInaccessible}, {workerDetails, workerTable}] = await Promise.all([
      import('../lib/control/local-workers.ts'),
      import('../lib/ui/text/worker-view.ts'),
    ])
    const context = await this.loadContext(flags)
    const local = await findNamedWorkers(process.env, context.stateDir, flags.name)
    const report = await this.#buildReport(context, local)
    for (const worker of local) this.log(`${workerDetails(worker, Date.now())}\n`)
    if (local.length === 0) this.log('No worker runs on this machine for this user.\n')
    if (local.length === 0 && areServicesInaccessible())
      this.log('Services run on this machine. Root and members of the group a2a-worker may query them.\n')
    const {state, server, error} = report
    this.log(`${server === null ? 'no server' : `server  ${server}: ${state}`}${error ? ` (${error})` : ''}`)
    for (const suggestion of report.suggestions) this.log(`  → ${suggestion}`)
    const isAnswering = state === 'healthy' || state === 'degraded'
    if (isAnswering) this.log(`queue   ${report.queue.pending} pending, ${report.queue.running} running`)
    if (report.token_file !== null) this.log(`token   in ${report.token_file}`)
    if (isAnswering) {
      this.log('')
      this.log(workerTable(report.workers, Date.now(), await this.screen(flags)))
    }

    process.exitCode = exits[state]
    return report
  }

  async #buildReport(context: Awaited<ReturnType<Status['loadContext']>>, local: LocalWorker[]): Promise<StatusReport> {
    const {localPlaneFile, readLocalControlPlane} = await import('../lib/config/local-control-plane.ts')
    const plane = readLocalControlPlane(context.stateDir)
    // A user who may query the service need not be able to read its configuration.
    const ofWorker = local[0]?.server === plane?.url ? undefined : local[0]?.server
    const named = context.config.server_url ?? ofWorker
    const server = named ?? plane?.url ?? null
    const common = {
      local,
      token_file: named === undefined && plane ? localPlaneFile(context.stateDir) : null,
      ...{suggestions: [], workers: [], queue: {pending: 0, running: 0}},
    }
    try {
      const config = {...context.config, server_url: named}
      await using client = await this.controlPlane({...context, config})
      const {listWorkers} = await import('../lib/client/list-workers.ts')
      const {problem} = await client.health()
      const [workers, pending, assigned, running] = await Promise.all([
        listWorkers(client, Date.now()),
        client.tasks({status: 'pending', limit: 1000}),
        client.tasks({status: 'assigned', limit: 1000}),
        client.tasks({status: 'running', limit: 1000}),
      ])
      const error = problem ?? findProblem(workers, local)
      return {
        ...common,
        state: error === null ? 'healthy' : 'degraded',
        server: client.url,
        error,
        workers,
        // An assigned task waits until its worker confirms it.
        queue: {pending: pending.tasks.length + assigned.tasks.length, running: running.tasks.length},
      }
    } catch (error) {
      const {code, exitCode, suggestions = []} = error as Partial<ExpectedError>
      const state = code === 'NO_SERVER' ? 'none' : exitCode === exitCodes.refused ? 'refused' : 'unreachable'
      return {...common, state, server, error: messageOf(error), suggestions}
    }
  }
}

function findProblem(workers: readonly MonitorWorker[], local: readonly LocalWorker[]): string | null {
  if (!workers.some(({connected, status}) => connected || status === 'active'))
    return 'no worker is connected; start one with `a2a-worker start`'
  const low = local.find(({disk}) => disk?.is_low)
  if (low) return `worker ${low.name} takes no tasks: too little disk space or inodes for ${low.disk?.path}`
  for (const {name, troubles} of local)
    for (const {kind, name: provider, reason} of troubles)
      return `worker ${name} takes no tasks${kind === 'provider' ? ` of provider ${provider}` : ''}: ${reason}`
  return null
}
