import {Args, Flags} from '@oclif/core'
import {BaseCommand, type Context} from '../../base-command.ts'
import {showHidden} from '../../lib/core/text/hidden-characters.ts'
import {exitCodes} from '../../lib/core/errors.ts'
import type {OutputChunk} from '../../lib/protocol/schemas.ts'

export default class TasksOutput extends BaseCommand {
  static override summary = 'Show the output of the agent'
  static override description =
    'Prints texts, one line for each tool call with its outcome, and tokens and cost at the end.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> TASK --follow',
    '<%= config.bin %> <%= command.id %> TASK --raw > events.ndjson',
  ]
  static override args = {task: Args.string({description: 'Task id, or its beginning', required: true})}
  static override flags = {
    follow: Flags.boolean({summary: 'Continue until the task ends, and exit by its outcome'}),
    raw: Flags.boolean({summary: "Print OpenCode's events unchanged (on a terminal, hidden characters as codes)"}),
  }

  async run(): Promise<{outputs: OutputChunk[]}> {
    const {args, flags} = await this.parse(TasksOutput)
    const [{OutputView}, {readOutput}, {withTaskId}] = await Promise.all([
      import('../../lib/ui/text/output-view.ts'),
      import('../../lib/client/read-output.ts'),
      import('../../lib/client/short-id.ts'),
    ])
    const context = await this.loadContext(flags)
    await using client = await this.controlPlane(context)
    const outputs: OutputChunk[] = []
    const view = new OutputView((text) => this.log(text))
    const take = (chunk: OutputChunk) => {
      if (this.jsonEnabled()) outputs.push(chunk)
      else if (flags.raw)
        process.stdout.write(process.stdout.isTTY ? showHidden(chunk.output, {kept: '\n'}) : chunk.output)
      else view.add(chunk)
    }
    const task = await withTaskId(client, args.task, (id) => client.task(id))
    if (flags.follow) await this.#follow(client, task.id, take, {isRaw: flags.raw, config: context.config})
    else await readOutput(client, task.id, take)
    if (!this.jsonEnabled() && !flags.raw) view.end()
    return {outputs}
  }

  async #follow(
    client: Awaited<ReturnType<TasksOutput['controlPlane']>>,
    id: string,
    onOutput: (chunk: OutputChunk) => void,
    {isRaw, config}: {isRaw: boolean; config: Context['config']},
  ) {
    const [{waitForTask}, {outcomeCode}, {onTermination}] = await Promise.all([
      import('../../lib/ui/text/wait-for-task.ts'),
      import('../../lib/client/outcome.ts'),
      import('../../lib/core/signals.ts'),
    ])
    const stop = new AbortController()
    using _signals = onTermination(() => stop.abort())
    const end = await waitForTask(id, {
      client,
      signal: stop.signal,
      timeoutMs: 0,
      onOutput,
      notify: (text) => this.logToStderr(text),
      asking: isRaw ? undefined : await this.asking(config),
      status: isRaw ? undefined : process.stderr, // raw output may end within a line
    })
    if (end.type !== 'ended') return this.exit(exitCodes.interrupted)
    if (end.task.error) this.logToStderr(`${end.task.status}: ${end.task.error}`)
    process.exitCode = outcomeCode(end.task)
  }
}
