import {Args} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import type {Task} from '../../lib/protocol/schemas.ts'

export default class TasksGet extends BaseCommand {
  static override summary = 'Show a task: status, result, duration and cost'
  static override examples = [
    '<%= config.bin %> <%= command.id %> TASK',
    '<%= config.bin %> <%= command.id %> TASK --json',
  ]
  static override args = {task: Args.string({description: 'Task id, or its beginning', required: true})}

  async run(): Promise<Task> {
    const {args, flags} = await this.parse(TasksGet)
    const [{taskDetails}, {withTaskId}] = await Promise.all([
      import('../../lib/ui/text/task-view.ts'),
      import('../../lib/client/short-id.ts'),
    ])
    await using client = await this.controlPlane(await this.loadContext(flags))
    const task = await withTaskId(client, args.task, (id) => client.task(id, this.signal))
    this.log(taskDetails(task))
    return task
  }
}
