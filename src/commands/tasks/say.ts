import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import {settingFlags} from '../../flags.ts'
import type {Task} from '../../lib/protocol/schemas.ts'
import type {StoredInput} from '../../lib/protocol/task-input.ts'

export type SaidToTask = {task_id: string; input: StoredInput | null; next_task: Task | null}

export default class TasksSay extends BaseCommand {
  static override summary = 'Say something to a running task, or go on with one that has ended'
  static override description =
    'The agent gets the text when its turn ends; --steer ends the turn first. For a task that has ended, it becomes the next task of its session, and the command prints the id of that task. Exits 1 if the task or its worker takes nothing.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> TASK "Also update the changelog"',
    '<%= config.bin %> <%= command.id %> TASK "Stop, the bug is in parser.ts" --steer',
    'git diff | <%= config.bin %> <%= command.id %> TASK -',
  ]
  static override args = {
    task: Args.string({description: 'Task id, or its beginning', required: true}),
    text: Args.string({description: 'What to say; - reads it from stdin'}),
  }
  static override flags = {
    file: Flags.string({char: 'f', summary: 'Read the text from a file', helpValue: 'FILE'}),
    steer: Flags.boolean({summary: 'End the turn of the agent first'}),
    ...settingFlags('signing_key'),
  }

  async run(): Promise<SaidToTask> {
    const {args, flags} = await this.parse(TasksSay)
    const [{sayToTask}, {readPrompt}, {withTaskId}, {inputSigner}, {taskSigner}, {systemClock}] = await Promise.all([
      import('../../lib/client/inputs/say-to-task.ts'),
      import('../../lib/client/prompt.ts'),
      import('../../lib/client/short-id.ts'),
      import('../../lib/signing/sign-input.ts'),
      import('../../lib/signing/task-signer.ts'),
      import('../../lib/core/clock.ts'),
    ])
    const text = await readPrompt({argument: args.text, file: flags.file, stdin: process.stdin})
    const context = await this.loadContext(flags)
    const sign = inputSigner(context.config)
    const signTask = taskSigner(context.config, {sign: undefined, validFor: '24h'})
    await using client = await this.controlPlane(context)
    const mode = flags.steer ? ('steer' as const) : ('queue' as const)
    // a queued text is taken at the end of the turn, which may be far away
    const waitMs = flags.steer ? 10_000 : 1500
    const {input, task, taskId} = await withTaskId(client, args.task, async (id) => ({
      taskId: id,
      ...(await sayToTask(id, {text, mode}, {client, clock: systemClock, signal: this.signal, sign, signTask, waitMs})),
    }))
    if (task) {
      this.logToStderr(`Task ${taskId} has ended. This is the next task of its session:`)
      this.log(task.id)
    } else if (input?.state === 'delivered') this.log('The agent has it.')
    else this.log(flags.steer ? 'It is on its way to the agent.' : 'The agent gets it when its turn ends.')
    return {task_id: taskId, input: input ?? null, next_task: task ?? null}
  }
}
