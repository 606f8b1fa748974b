import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {messageOf} from '../lib/core/errors.ts'
import {exitCodes} from '../lib/core/errors.ts'
import type {LocalWorker} from '../lib/control/local-workers.ts'
import type {MonitorWorker} from '../lib/protocol/schemas.ts'

export type StatusReport = {
  /** `degraded`: the server answers, but no worker is connected, or a worker of this machine takes no tasks. */
  state: 'healthy' | 'degraded' | 'unreachable'
  server: string | null
  error: string | null
  local: LocalWorker[]
  workers: MonitorWorker[]
  queue: {pending: number; running: number}
}

export default class Status extends BaseCommand {
  static override summary = 'Show the workers of this machine, the control plane, other workers and the queue'
  static override description =
    'Exits 0 if all is well, 1 if no worker is connected or a worker here takes no tasks because of a problem, 69 if the control plane cannot be reached.'
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
    this.log(`server  ${report.server ?? 'none'}: ${report.state}${report.error ? ` (${report.error})` : ''}`)
    if (report.state !== 'unreachable') {
      this.log(`queue   ${report.queue.pending} pending, ${report.queue.running} running\n`)
      this.log(workerTable(report.workers, Date.now(), await this.screen(flags)))
    }

    process.exitCode =
      report.state === 'healthy' ? exitCodes.ok : report.state === 'degraded' ? exitCodes.failed : exitCodes.unreachable
    return report
  }

  async #buildReport(context: Awaited<ReturnType<Status['loadContext']>>, local: LocalWorker[]): Promise<StatusReport> {
    const nothing = {local, workers: [], queue: {pending: 0, running: 0}}
    // A user who may query the service need not be able to read its configuration.
    const server = context.config.server_url ?? local[0]?.server ?? null
    try {
      const config = {...context.config, server_url: server ?? undefined}
      await using client = await this.controlPlane({...context, config})
      const {listWorkers} = await import('../lib/client/list-workers.ts')
      const {problem} = await client.health()
      const [workers, pending, running] = await Promise.all([
        listWorkers(client, Date.now()),
        client.tasks({status: 'pending', limit: 1000}),
        client.tasks({status: 'running', limit: 1000}),
      ])
      const error = problem ?? findProblem(workers, local)
      return {
        state: error === null ? 'healthy' : 'degraded',
        server: client.url,
        error,
        local,
        workers,
        queue: {pending: pending.tasks.length, running: running.tasks.length},
      }
    } catch (error) {
      return {state: 'unreachable', server, error: messageOf(error), ...nothing}
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
