import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import type {Task} from '../../lib/protocol/schemas.ts'

export default class TasksRetry extends BaseCommand {
  static override summary = 'Run an ended task again'
  static override description =
    'The task keeps its id and gets its next attempt. A running task whose worker is lost waits for that worker, because its code is there. --force gives up the lost attempt.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> TASK',
    '<%= config.bin %> <%= command.id %> TASK --force',
  ]
  static override args = {task: Args.string({description: 'Task id, or its beginning', required: true})}
  static override flags = {force: Flags.boolean({summary: 'Retry a running task whose worker is lost'})}

  async run(): Promise<Task> {
    const {args, flags} = await this.parse(TasksRetry)
    const {withTaskId} = await import('../../lib/client/short-id.ts')
    await using client = await this.controlPlane(await this.loadContext(flags))
    const task = await withTaskId(client, args.task, (id) => client.retryTask(id, flags.force, this.signal))
    this.log(`Task ${task.id} is pending again, as attempt ${task.attempt}.`)
    return task
  }
}
