import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import {settingFlags} from '../../flags.ts'
import type {StoredInput} from '../../lib/protocol/task-input.ts'

export type AnsweredQuestion = {task_id: string; question: string; input: StoredInput}

export default class TasksAnswer extends BaseCommand {
  static override summary = 'Answer what the agent of a task asks'
  static override description =
    'allow permits it once, always permits it for the rest of the session, deny refuses it. Options of a question are named by their id or name. Any other text is the answer to a question; for a permission it refuses, and tells the agent why. Exits 1 if the task asks nothing, if somebody else was faster, or if the worker refuses the answer.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> TASK allow',
    '<%= config.bin %> <%= command.id %> TASK deny --question 2',
    '<%= config.bin %> <%= command.id %> TASK "No, use the staging database"',
  ]
  static override args = {
    task: Args.string({description: 'Task id, or its beginning', required: true}),
    answer: Args.string({description: 'allow, always, deny, an option, or a text', required: true}),
  }
  static override flags = {
    question: Flags.string({summary: 'Id of the question, if several are open', helpValue: 'ID'}),
    ...settingFlags('signing_key'),
  }

  async run(): Promise<AnsweredQuestion> {
    const {args, flags} = await this.parse(TasksAnswer)
    const [{answerQuestion}, {withTaskId}, {inputSigner}, {systemClock}] = await Promise.all([
      import('../../lib/client/inputs/answer-question.ts'),
      import('../../lib/client/short-id.ts'),
      import('../../lib/signing/sign-input.ts'),
      import('../../lib/core/clock.ts'),
    ])
    const context = await this.loadContext(flags)
    const sign = inputSigner(context.config)
    await using client = await this.controlPlane(context)
    const {question, input, taskId} = await withTaskId(client, args.task, async (id) => ({
      taskId: id,
      ...(await answerQuestion(
        id,
        {answer: args.answer, question: flags.question},
        {client, clock: systemClock, signal: this.signal, sign, waitMs: 10_000},
      )),
    }))
    const what = input.option ?? (question.kind === 'permission' ? 'deny, and told why' : 'a text')
    const state = input.state === 'delivered' ? 'The agent has it.' : 'It is stored; its worker has not taken it yet.'
    this.log(`Answered ${question.title}: ${what}. ${state}`)
    return {task_id: taskId, question: question.id, input}
  }
}
