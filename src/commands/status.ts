import {Flags} from '@oclif/core'
import {BaseCommand, visible} from '../base-command.ts'
import {exitCodes, messageOf, type ExpectedError} from '../lib/core/errors.ts'
import type {LocalWorker} from '../lib/control/local-workers.ts'
import type {Screen} from '../lib/ui/text/fitted-table.ts'
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
    watch: Flags.boolean({summary: 'Show it again and again, until Ctrl-C', exclusive: ['json']}),
    name: Flags.string({char: 'n', summary: 'Show only this worker of this machine: name or id, or its beginning'}),
  }

  async run(): Promise<StatusReport> {
    const {flags} = await this.parse(Status)
    const context = await this.loadContext(flags)
    const look = async () => {
      const {findNamedWorkers} = await import('../lib/control/local-workers.ts')
      return await this.#buildReport(context, await findNamedWorkers(process.env, context.stateDir, flags.name))
    }
    if (!flags.watch) {
      const report = await look()
      this.log(await this.#describe(report, await this.screen(flags)))
      process.exitCode = exits[report.state]
      return report
    }

    const {watchScreen} = await import('../watch-screen.ts')
    let report: StatusReport | undefined
    const draw = async () => {
      report = await look()
      return visible(await this.#describe(report, await this.screen(flags)))
    }
    await watchScreen({title: 'Status', draw})
    return report ?? (await look())
  }

  /** The report as text. */
  async #describe(report: StatusReport, screen: Screen): Promise<string> {
    const [{areServicesInaccessible}, {workerDetails, workerTable}] = await Promise.all([
      import('../lib/control/local-workers.ts'),
      import('../lib/ui/text/worker-view.ts'),
    ])
    const {state, server, error, local, queue, token_file: tokenFile} = report
    const isAnswering = state === 'healthy' || state === 'degraded'
    return [
      ...local.map((worker) => `${workerDetails(worker, Date.now())}\n`),
      ...(local.length === 0 ? ['No worker runs on this machine for this user.\n'] : []),
      ...(local.length === 0 && areServicesInaccessible()
        ? ['Services run on this machine. Root and members of the group a2a-worker may query them.\n']
        : []),
      `${server === null ? 'no server' : `server  ${server}: ${state}`}${error ? ` (${error})` : ''}`,
      ...report.suggestions.map((suggestion) => `  → ${suggestion}`),
      ...(isAnswering ? [`queue   ${queue.pending} pending, ${queue.running} running`] : []),
      ...(tokenFile === null ? [] : [`token   in ${tokenFile}`]),
      ...(isAnswering ? ['', workerTable(report.workers, Date.now(), screen)] : []),
    ].join('\n')
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
