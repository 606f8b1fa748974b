import {Args} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import type {Task} from '../../lib/protocol/schemas.ts'
import type {StoredInput} from '../../lib/protocol/task-input.ts'

export default class TasksGet extends BaseCommand {
  static override summary = 'Show a task: status, result, duration and cost'
  static override examples = [
    '<%= config.bin %> <%= command.id %> TASK',
    '<%= config.bin %> <%= command.id %> TASK --json',
  ]
  static override args = {task: Args.string({description: 'Task id, or its beginning', required: true})}

  async run(): Promise<Task & {inputs?: StoredInput[]}> {
    const {args, flags} = await this.parse(TasksGet)
    const [{taskDetails}, {withTaskId}, {readInputs}] = await Promise.all([
      import('../../lib/ui/text/task-view.ts'),
      import('../../lib/client/short-id.ts'),
      import('../../lib/client/inputs/read-inputs.ts'),
    ])
    await using client = await this.controlPlane(await this.loadContext(flags))
    const task = await withTaskId(client, args.task, (id) => client.task(id, this.signal))
    const inputs = await readInputs(client, task.id, this.signal)
    this.log(taskDetails(task, inputs))
    return inputs.length > 0 ? {...task, inputs} : task
  }
}
