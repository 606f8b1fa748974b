import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {promptFlags, settingFlags} from '../flags.ts'
import type {ControlPlaneClient} from '../lib/client/control-plane.ts'
import type {Task} from '../lib/protocol/schemas.ts'

export default class Run extends BaseCommand {
  static override summary = 'Run one task in this directory'
  static override description =
    'Starts what is needed on this machine, runs the task with OpenCode in the current directory, prints the result, and exits by the outcome: 0 completed, 1 failed, 3 cancelled. On a terminal it shows what the agent does. Ctrl-C cancels the task. A configured server is not used. If a worker of this machine serves the directory, it runs the task.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> "Fix the failing test"',
    'git diff | <%= config.bin %> <%= command.id %> - --agent plan > review.md',
    '<%= config.bin %> <%= command.id %> --file prompt.md --json',
  ]
  static override args = {prompt: Args.string({description: 'What the agent is to do; - reads it from stdin'})}
  static override flags = {
    ...settingFlags('opencode_bin', 'log_level', 'signing_key'),
    ...promptFlags,
    follow: Flags.boolean({
      summary: 'Show what the agent does (default: if stdout is a terminal)',
      allowNo: true,
    }),
  }

  async run(): Promise<Task> {
    const {args, flags} = await this.parse(Run)
    const [{readPrompt, titleOf}, {runHere}, {onTermination}, {outcomeCode}, {taskSigner}] = await Promise.all([
      import('../lib/client/prompt.ts'),
      import('../lib/daemon/run-here.ts'),
      import('../lib/core/signals.ts'),
      import('../lib/client/outcome.ts'),
      import('../lib/signing/task-signer.ts'),
    ])
    const prompt = await readPrompt({argument: args.prompt, file: flags.file, stdin: process.stdin})
    const {config, stateDir} = await this.loadContext(flags)
    const isShown = (flags.follow ?? process.stdout.isTTY) && !this.jsonEnabled()
    const sign = taskSigner(config, {sign: flags.sign, validFor: '24h'})
    using _signals = onTermination(() => this.interrupt())
    const task = await runHere({
      config: {
        ...config,
        log_level: (flags as Record<string, unknown>)['log-level'] === undefined ? 'warn' : config.log_level,
      },
      stateDir,
      version: this.config.version,
      root: this.config.root,
      env: process.env,
      directory: this.directory,
      task: {
        title: flags.title ?? titleOf(prompt),
        prompt,
        agent_type: flags.agent,
        metadata: flags.model ? {model: flags.model} : {},
      },
      sign,
      wait: (client, created, pending, signal) => this.#wait(client, created, {isShown, pending, signal}),
      notify: (text) => this.logToStderr(text),
      write: (text) => void process.stderr.write(process.stderr.isTTY ? `\r\u001b[2K${text}` : text),
      signal: this.signal,
      exit: (code) => process.exit(code),
    })
    if (!isShown && task.result) this.log(task.result)
    if (task.error) this.logToStderr(`${task.status}: ${task.error}`)
    process.exitCode = outcomeCode(task)
    return task
  }

  async #wait(
    client: ControlPlaneClient,
    {id}: Task,
    {isShown, pending, signal}: {isShown: boolean; pending: () => string | undefined; signal: AbortSignal},
  ): Promise<Task> {
    const {waitForTask} = await import('../lib/ui/text/wait-for-task.ts')
    const end = await waitForTask(id, {
      client,
      pending,
      signal, // not that of Ctrl-C, which cancels the task, and its end is awaited
      timeoutMs: 0,
      print: isShown ? (text) => this.log(text) : undefined,
      notify: (text) => this.logToStderr(text),
      status: process.stderr,
    })
    if (end.type !== 'ended') throw new Error('a wait without limit has ended early')
    return end.task
  }
}
