import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
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
    raw: Flags.boolean({summary: "Print OpenCode's events unchanged"}),
  }

  async run(): Promise<{outputs: OutputChunk[]}> {
    const {args, flags} = await this.parse(TasksOutput)
    const [{OutputView}, {readOutput}, {withTaskId}] = await Promise.all([
      import('../../lib/ui/text/output-view.ts'),
      import('../../lib/client/read-output.ts'),
      import('../../lib/client/short-id.ts'),
    ])
    await using client = await this.controlPlane(await this.loadContext(flags))
    const outputs: OutputChunk[] = []
    const view = new OutputView((text) => this.log(text))
    const take = (chunk: OutputChunk) => {
      if (this.jsonEnabled()) outputs.push(chunk)
      else if (flags.raw) process.stdout.write(chunk.output)
      else view.add(chunk)
    }
    const task = await withTaskId(client, args.task, (id) => client.task(id))
    if (flags.follow) await this.#follow(task.id, client, take)
    else await readOutput(client, task.id, take)
    if (!this.jsonEnabled() && !flags.raw) view.end()
    return {outputs}
  }

  async #follow(
    id: string,
    client: Awaited<ReturnType<TasksOutput['controlPlane']>>,
    onOutput: (chunk: OutputChunk) => void,
  ) {
    const [{watchTask}, {outcomeCode}, {systemClock}, {onTermination}, {droppedText}] = await Promise.all([
      import('../../lib/client/watch-task.ts'),
      import('../../lib/client/outcome.ts'),
      import('../../lib/core/clock.ts'),
      import('../../lib/core/signals.ts'),
      import('../../lib/ui/text/output-view.ts'),
    ])
    const stop = new AbortController()
    using _signals = onTermination(() => stop.abort())
    try {
      const task = await watchTask(id, {
        client,
        clock: systemClock,
        signal: stop.signal,
        onOutput,
        onDropped: (bytes) => this.logToStderr(droppedText(bytes)),
        onTrouble: (reason) => this.logToStderr(`${reason} Trying again.`),
      })
      if (task.error) this.logToStderr(`${task.status}: ${task.error}`)
      process.exitCode = outcomeCode(task)
    } catch (error) {
      if (!stop.signal.aborted) throw error
      this.exit(exitCodes.interrupted)
    }
  }
}
