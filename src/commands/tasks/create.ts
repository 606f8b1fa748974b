import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import {promptFlags, settingFlags} from '../../flags.ts'
import type {ControlPlaneClient} from '../../lib/client/control-plane.ts'
import {ExpectedError, exitCodes, usageError} from '../../lib/core/errors.ts'
import {taskPage} from '../../lib/client/page/page-link.ts'
import type {Asking} from '../../lib/ui/text/question-prompt.ts'
import type {Task} from '../../lib/protocol/schemas.ts'

export default class TasksCreate extends BaseCommand {
  static override summary = 'Create a task'
  static override description =
    'Prints the id of the task. With --wait it prints the result and exits by the outcome: 0 completed, 1 failed, 3 cancelled. Ctrl-C while waiting leaves the task running.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> "Fix the failing test"',
    '<%= config.bin %> <%= command.id %> --codebase api --file prompt.md --wait --json',
    'git diff | <%= config.bin %> <%= command.id %> - --title Review --agent plan --wait --follow',
  ]
  static override args = {
    prompt: Args.string({
      description: 'What the agent is to do; - reads it from stdin; without it, a terminal opens $EDITOR',
    }),
  }
  static override flags = {
    ...promptFlags,
    codebase: Flags.string({
      char: 'b',
      summary: 'Codebase to work in: id, name or path (default: the codebase that contains the current directory)',
    }),
    with: Flags.string({
      summary:
        'Agent that runs the task, for example claude, codex, gemini or one of the setting `agents` (default: opencode)',
      helpValue: 'NAME',
    }),
    'max-cost': Flags.string({
      summary: 'US dollars that the task may cost; the worker may set less',
      helpValue: 'DOLLARS',
    }),
    resume: Flags.string({
      summary: 'OpenCode session to continue, by id or its beginning; it must belong to the codebase and not be in use',
      helpValue: 'SESSION',
    }),
    priority: Flags.integer({summary: 'Priority; higher runs first', default: 0}),
    metadata: Flags.string({
      summary: 'Additional data, KEY=VALUE; repeatable',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'K=V',
    }),
    ...settingFlags('signing_key'),
    'valid-for': Flags.string({
      summary: 'How long the signature is valid: until then the task may begin, and be retried',
      default: '24h',
      helpValue: 'TIME',
    }),
    wait: Flags.boolean({char: 'w', summary: 'Wait until the task has ended'}),
    follow: Flags.boolean({summary: 'Show the output while waiting (implies --wait)'}),
    timeout: Flags.integer({summary: 'Stop waiting after this many seconds and exit 75', min: 1, helpValue: 'SECONDS'}),
    'cancel-on-interrupt': Flags.boolean({summary: 'Cancel the task at Ctrl-C'}),
  }

  async run(): Promise<Task> {
    const {args, flags} = await this.parse(TasksCreate)
    const [{readPrompt, titleOf}, {findCodebase}, {createTask}, {findSessionId}, {taskSigner}] = await Promise.all([
      import('../../lib/client/prompt.ts'),
      import('../../lib/client/find-codebase.ts'),
      import('../../lib/client/create-task.ts'),
      import('../../lib/client/short-id.ts'),
      import('../../lib/signing/task-signer.ts'),
    ])
    const metadata = readMetadata(flags.metadata ?? [])
    if (flags.resume !== undefined && !/^[A-Za-z0-9_-]{1,255}$/.test(flags.resume))
      throw usageError(`--resume needs the id of a session, not ${JSON.stringify(flags.resume)}.`)
    const isEdited = args.prompt === undefined && flags.file === undefined && isInteractive() && !this.jsonEnabled()
    const given = isEdited
      ? undefined
      : await readPrompt({argument: args.prompt, file: flags.file, stdin: process.stdin})
    const context = await this.loadContext(flags)
    const sign = taskSigner(context.config, {sign: flags.sign, validFor: flags['valid-for']})
    await using client = await this.controlPlane(context)
    const codebase = findCodebase(await client.codebases(this.signal), flags.codebase, this.directory)
    const {agent, model, priority} = flags
    const resume = flags.resume === undefined ? undefined : await findSessionId(client, codebase.id, flags.resume)
    // What can be wrong is known before somebody writes a text.
    const edited =
      given === undefined ? (await import('../../edit-prompt.ts')).editPrompt(aboutTask(codebase)) : undefined
    const prompt = given ?? edited?.text ?? ''
    const unsigned = {
      title: flags.title ?? titleOf(prompt),
      prompt,
      agent_type: agent,
      priority,
      metadata: {
        ...metadata,
        ...(model ? {model} : {}),
        ...(flags.with ? {agent_program: flags.with} : {}),
        ...(flags['max-cost'] === undefined ? {} : {max_cost: dollars(flags['max-cost'])}),
        ...(resume ? {resume_session_id: resume} : {}),
      },
    }
    const request = sign ? {...unsigned, metadata: await sign({...unsigned, model: null}, codebase)} : unsigned
    const isWaiting = flags.wait || flags.follow
    // Before the task is created, so that an interrupt can always report or cancel it.
    using _signals = isWaiting ? await this.#handleSignals() : undefined
    const {task, note} = await createTask(client, codebase.id, request, new AbortController().signal).catch(
      (error: unknown) => {
        if (edited) this.logToStderr(`Your text is in ${edited.file}.`)
        throw error
      },
    )
    edited?.discard()
    if (note) this.logToStderr(note)
    if (codebase.served === false)
      this.logToStderr(`No worker serves ${codebase.name} now. The task waits until one does.`)
    if (!isWaiting) {
      await this.link(task.id, taskPage(client.url, task.id))
      this.log(task.id)
      if (process.stdout.isTTY && process.stderr.isTTY && !this.jsonEnabled())
        this.logToStderr(
          hints(task.id.slice(0, 8))
            .map((hint) => `  → ${hint}`)
            .join('\n'),
        )
      return task
    }

    return await this.#wait(client, task, {...flags, asking: await this.asking(context.config)})
  }

  /** The first signal ends the wait. The second exits at once. */
  async #handleSignals(): Promise<Disposable> {
    const {onTermination} = await import('../../lib/core/signals.ts')
    return onTermination(() => (this.signal.aborted ? process.exit(exitCodes.interrupted) : this.interrupt()))
  }

  async #wait(
    client: ControlPlaneClient,
    created: Task,
    flags: {asking: Asking | undefined; follow: boolean; timeout?: number | undefined; 'cancel-on-interrupt': boolean},
  ): Promise<Task> {
    const [{waitForTask}, {outcomeCode}] = await Promise.all([
      import('../../lib/ui/text/wait-for-task.ts'),
      import('../../lib/client/outcome.ts'),
    ])
    const isOutputShown = flags.follow && !this.jsonEnabled()
    this.logToStderr(`Task ${created.id}`)
    const end = await waitForTask(created.id, {
      client,
      signal: this.signal,
      timeoutMs: (flags.timeout ?? 0) * 1000,
      print: isOutputShown ? (text) => this.log(text) : undefined,
      notify: (text) => this.logToStderr(text),
      status: process.stderr,
      asking: flags.asking,
    })
    if (end.type === 'interrupted') return this.#interrupted(client, created.id, flags['cancel-on-interrupt'])
    if (end.type === 'timeout')
      throw new ExpectedError(`Task ${created.id} has not ended within ${flags.timeout} s. It keeps running.`, {
        code: 'TIMEOUT',
        exit: 'temporary',
        suggestions: hints(created.id),
      })
    const {task} = end
    if (!isOutputShown && task.result) this.log(task.result)
    if (task.error) this.logToStderr(`${task.status}: ${task.error}`)
    process.exitCode = outcomeCode(task)
    return task
  }

  async #interrupted(client: ControlPlaneClient, id: string, cancel: boolean): Promise<never> {
    if (cancel) {
      const {cancelTask} = await import('../../lib/client/cancel-task.ts')
      await cancelTask(client, id, false, AbortSignal.timeout(30_000))
    }

    const lines = cancel
      ? [`Task ${id} is being cancelled.`]
      : [`Task ${id} keeps running.`, ...hints(id).map((hint) => `  → ${hint}`)]
    this.logToStderr(lines.join('\n'))
    return this.exit(exitCodes.interrupted)
  }
}

const isInteractive = () => process.stdin.isTTY && process.stdout.isTTY

const aboutTask = ({name, path}: {name: string; path: string}) => [`Codebase: ${name} (${path})`]

const hints = (id: string) => [
  `Follow it: a2a-worker tasks output ${id} --follow`,
  `Cancel it: a2a-worker tasks cancel ${id}`,
]

function readMetadata(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      if (at < 1) throw usageError(`--metadata needs KEY=VALUE, not ${JSON.stringify(pair)}.`)
      return [pair.slice(0, at), pair.slice(at + 1)]
    }),
  )
}

function dollars(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw usageError(`--max-cost needs an amount above 0, not ${JSON.stringify(text)}.`)
  return value
}
