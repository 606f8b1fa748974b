import {Flags} from '@oclif/core'
import {BaseCommand, visible} from '../../base-command.ts'
import {taskStatuses} from '../../lib/protocol/statuses.ts'
import {taskPage} from '../../lib/client/page/page-link.ts'
import type {Task} from '../../lib/protocol/schemas.ts'

const defaultLimit = 100
/** What fits on a screen. */
const watchedLimit = 50

export default class TasksList extends BaseCommand {
  static override summary = 'List tasks, newest first'
  static override description =
    'On a terminal the table fits its width, and ids are shortened: all commands accept the beginning of an id. Otherwise the ids are complete.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --status failed --limit 10',
    '<%= config.bin %> <%= command.id %> --all --json',
  ]
  static override flags = {
    status: Flags.string({summary: 'Only tasks with this status', options: [...taskStatuses]}),
    codebase: Flags.string({char: 'b', summary: 'Only tasks of this codebase: id, name or path'}),
    worker: Flags.string({summary: 'Only tasks of the codebases of this worker: id or name'}),
    limit: Flags.integer({
      summary: `Maximum number of tasks (default ${defaultLimit})`,
      min: 1,
      max: 10_000,
      exclusive: ['all'],
    }),
    all: Flags.boolean({summary: 'All tasks'}),
    oldest: Flags.boolean({summary: 'Oldest first'}),
    watch: Flags.boolean({summary: 'Show the list again and again, until Ctrl-C', exclusive: ['json', 'all']}),
  }

  async run(): Promise<Task[]> {
    const {flags} = await this.parse(TasksList)
    const [{findCodebase}, {listTasks, nameTasks}, {taskTable}] = await Promise.all([
      import('../../lib/client/find-codebase.ts'),
      import('../../lib/client/list-tasks.ts'),
      import('../../lib/ui/text/task-view.ts'),
    ])
    await using client = await this.controlPlane(await this.loadContext(flags))
    const codebase =
      flags.codebase === undefined ? undefined : findCodebase(await client.codebases(), flags.codebase, this.directory)
    const filter = {
      order: flags.oldest ? ('oldest' as const) : ('newest' as const),
      ...(flags.status ? {status: flags.status} : {}),
      ...(codebase ? {codebase_id: codebase.id} : {}),
      ...(flags.worker ? {worker_id: flags.worker} : {}),
    }
    const limit = flags.all ? Infinity : (flags.limit ?? defaultLimit)
    if (flags.watch) {
      const {watchScreen} = await import('../../watch-screen.ts')
      let tasks: Task[] = []
      const draw = async () => {
        ;({tasks} = await listTasks(client, filter, flags.limit ?? watchedLimit))
        return visible(taskTable(tasks, await nameTasks(client), Date.now(), await this.screen(flags)))
      }
      await watchScreen({title: 'Tasks', draw})
      return tasks
    }
    const {tasks, hasMore, isCapped} = await listTasks(client, filter, limit)
    if (this.jsonEnabled()) return tasks
    // The existing server has no pages.
    if (!isCapped && process.stdout.isTTY) {
      const {shortIds} = await import('../../lib/ui/text/short-ids.ts')
      const shorten = shortIds(tasks.map(({id}) => id))
      for (const {id} of tasks) await this.link(shorten(id), taskPage(client.url, id))
    }
    this.log(taskTable(tasks, await nameTasks(client), Date.now(), await this.screen(flags)))
    if (hasMore) this.logToStderr(`More tasks exist. Show all with --all, or more with --limit ${limit * 5}.`)
    if (isCapped)
      this.logToStderr(
        `This server lists at most ${tasks.length} tasks, the oldest first, so newer ones may be missing. Narrow the list with --status or --codebase.`,
      )
    return tasks
  }
}
