import {Args} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'

export type ForgottenWorker = {worker_id: string; requeued: number}

export default class WorkersForget extends BaseCommand {
  static override summary = 'Remove a dead worker from the control plane'
  static override description =
    'Frees the token that is bound to the worker, so that another worker can use it, and returns the tasks of the worker to the queue. Its codebases stay: a worker on the same machine takes them over, or `codebases remove` removes them. Exits 1 if the worker is alive. If it starts again, it registers again.'
  static override examples = ['<%= config.bin %> <%= command.id %> 1f0c9a2b3d4e']
  static override args = {
    worker: Args.string({description: 'Id or its beginning, or name, as in `workers list`', required: true}),
  }

  async run(): Promise<ForgottenWorker> {
    const {args, flags} = await this.parse(WorkersForget)
    const {withWorkerId} = await import('../../lib/client/short-id.ts')
    await using client = await this.controlPlane(await this.loadContext(flags))
    const forgotten = await withWorkerId(client, args.worker, async (id) => ({
      worker_id: id,
      requeued: (await client.forgetWorker(id, this.signal)).requeued,
    }))
    const {worker_id: id, requeued} = forgotten
    const tasks = requeued === 0 ? '' : ` Tasks returned to the queue: ${requeued}.`
    this.log(`Forgot worker ${id}.${tasks}`)
    return forgotten
  }
}
