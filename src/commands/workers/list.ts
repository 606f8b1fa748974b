import {BaseCommand} from '../../base-command.ts'
import type {MonitorWorker} from '../../lib/protocol/schemas.ts'

export default class WorkersList extends BaseCommand {
  static override summary = 'List the workers of the control plane'
  static override examples = ['<%= config.bin %> <%= command.id %>', '<%= config.bin %> <%= command.id %> --json']

  async run(): Promise<MonitorWorker[]> {
    const {flags} = await this.parse(WorkersList)
    const [{listWorkers}, {workerTable}] = await Promise.all([
      import('../../lib/client/list-workers.ts'),
      import('../../lib/ui/text/worker-view.ts'),
    ])
    await using client = await this.controlPlane(await this.loadContext(flags))
    const workers = await listWorkers(client, Date.now())
    this.log(workerTable(workers, Date.now(), await this.screen(flags)))
    return workers
  }
}
