import {Flags} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import {taskStatuses} from '../../lib/protocol/statuses.ts'
import type {Task} from '../../lib/protocol/schemas.ts'

export default class TasksList extends BaseCommand {
  static override summary = 'List tasks, by priority and age'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --status running --json',
  ]
  static override flags = {
    status: Flags.string({summary: 'Only tasks with this status', options: [...taskStatuses]}),
    codebase: Flags.string({char: 'b', summary: 'Only tasks of this codebase: id, name or path'}),
    worker: Flags.string({summary: 'Only tasks of the codebases of this worker: worker id'}),
    limit: Flags.integer({summary: 'Maximum number of tasks', default: 100, min: 1, max: 10_000}),
  }

  async run(): Promise<Task[]> {
    const {flags} = await this.parse(TasksList)
    const [{findCodebase}, {taskTable}] = await Promise.all([
      import('../../lib/client/find-codebase.ts'),
      import('../../lib/ui/text/task-view.ts'),
    ])
    await using client = await this.controlPlane(await this.loadContext(flags))
    const codebase =
      flags.codebase === undefined ? undefined : findCodebase(await client.codebases(), flags.codebase, this.directory)
    const tasks: Task[] = []
    for (let cursor: string | undefined; ;) {
      const page = await client.tasks({
        limit: Math.min(flags.limit - tasks.length, 500),
        ...(flags.status ? {status: flags.status} : {}),
        ...(codebase ? {codebase_id: codebase.id} : {}),
        ...(flags.worker ? {worker_id: flags.worker} : {}),
        ...(cursor ? {cursor} : {}),
      })
      tasks.push(...page.tasks)
      cursor = page.next
      if (cursor === undefined || tasks.length >= flags.limit) break
    }

    this.log(taskTable(tasks.slice(0, flags.limit), Date.now()))
    return tasks.slice(0, flags.limit)
  }
}
