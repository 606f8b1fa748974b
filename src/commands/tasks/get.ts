import {Args} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import type {Task} from '../../lib/protocol/schemas.ts'

export default class TasksGet extends BaseCommand {
  static override summary = 'Show a task: status, result, duration and cost'
  static override examples = [
    '<%= config.bin %> <%= command.id %> TASK',
    '<%= config.bin %> <%= command.id %> TASK --json',
  ]
  static override args = {task: Args.string({description: 'Task id', required: true})}

  async run(): Promise<Task> {
    const {args, flags} = await this.parse(TasksGet)
    const {taskDetails} = await import('../../lib/ui/text/task-view.ts')
    await using client = await this.controlPlane(await this.loadContext(flags))
    const task = await client.task(args.task)
    this.log(taskDetails(task))
    return task
  }
}
