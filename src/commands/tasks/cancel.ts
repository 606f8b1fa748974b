import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import type {Task} from '../../lib/protocol/schemas.ts'

export default class TasksCancel extends BaseCommand {
  static override summary = 'Cancel a task'
  static override description =
    'A waiting task is cancelled at once. A running task is cancelled once all its processes have ended; --wait waits for that.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> TASK',
    '<%= config.bin %> <%= command.id %> TASK --wait',
  ]
  static override args = {task: Args.string({description: 'Task id, or its beginning', required: true})}
  static override flags = {wait: Flags.boolean({char: 'w', summary: 'Wait until all processes of the task have ended'})}

  async run(): Promise<Task> {
    const {args, flags} = await this.parse(TasksCancel)
    const [{cancelTask}, {withTaskId}] = await Promise.all([
      import('../../lib/client/cancel-task.ts'),
      import('../../lib/client/short-id.ts'),
    ])
    await using client = await this.controlPlane(await this.loadContext(flags))
    const task = await withTaskId(client, args.task, (id) => cancelTask(client, id, flags.wait, this.signal))
    this.log(
      task.status === 'cancelled'
        ? `Task ${task.id} is cancelled.`
        : `Task ${task.id} is being cancelled: ${task.waiting ?? 'its worker stops it'}.`,
    )
    return task
  }
}
