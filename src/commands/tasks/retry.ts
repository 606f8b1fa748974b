import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import type {Task} from '../../lib/protocol/schemas.ts'

export default class TasksRetry extends BaseCommand {
  static override summary = 'Run a task again that has ended'
  static override description =
    'It keeps its id and becomes the next attempt. A running task whose worker is lost goes on waiting for that worker, as its code is there; --force gives it up.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> TASK',
    '<%= config.bin %> <%= command.id %> TASK --force',
  ]
  static override args = {task: Args.string({description: 'Task id', required: true})}
  static override flags = {force: Flags.boolean({summary: 'Also a running task whose worker is lost'})}

  async run(): Promise<Task> {
    const {args, flags} = await this.parse(TasksRetry)
    await using client = await this.controlPlane(await this.loadContext(flags))
    const task = await client.retryTask(args.task, flags.force, this.signal)
    this.log(`Task ${task.id} waits again, as attempt ${task.attempt}.`)
    return task
  }
}
