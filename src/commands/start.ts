import {Flags} from '@oclif/core'
import {BaseCommand, type Context} from '../base-command.ts'
import {loadDashboard, hasTerminal, surviveTerminalLoss} from '../terminal-dashboard.ts'
import {settingFlags} from '../flags.ts'
import {existing} from '../lib/core/paths/current-directory.ts'
import {configError, usageError} from '../lib/core/errors.ts'

const settings = [
  'server_url',
  'worker_name',
  'worker_id',
  'codebases',
  'poll_interval',
  'max_concurrent_tasks',
  'sse_heartbeat_timeout',
  'redis_url',
  'opencode_bin',
  'opencode_storage_path',
  'session_message_sync_max_sessions',
  'session_message_sync_max_messages',
  'log_level',
  'log_format',
] as const

export default class Start extends BaseCommand {
  static override summary = 'Run the worker: take tasks and run them with OpenCode'
  static override description =
    'Without any configuration it also runs a control plane for this machine, and serves the current directory. The first SIGTERM or Ctrl-C drains: the worker takes no more tasks and lets the running ones finish. The second cancels the running tasks, the third exits at once. SIGHUP reloads the settings. On a terminal it shows a dashboard that includes the log. If stderr is redirected (2> worker.log), it also writes log lines.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --server https://plane.example --codebase api:/srv/api --codebase /srv/web',
    '<%= config.bin %> <%= command.id %> --local --exit-after-idle 600',
  ]
  static override enableJsonFlag = false
  static override flags = {
    ...settingFlags(...settings),
    local: Flags.boolean({
      summary: 'Use the control plane of this machine and ignore a configured server',
      exclusive: ['server'],
    }),
    'no-dashboard': Flags.boolean({summary: 'Write log lines instead of showing the dashboard'}),
    once: Flags.boolean({summary: 'Exit after one task'}),
    'exit-after-idle': Flags.integer({
      summary: 'Exit after this many seconds without a task',
      min: 1,
      helpValue: 'SECONDS',
    }),
  }

  async run(): Promise<void> {
    const {flags} = await this.parse(Start)
    const context = await this.loadContext(flags)
    const isLocal = Boolean(flags['local']) || this.#isUnconfigured(context)
    const isLogOnly = Boolean(flags['no-dashboard']) || context.config.log_format === 'json'
    const dashboard = hasTerminal() && !isLogOnly ? await loadDashboard(flags) : undefined
    surviveTerminalLoss()
    const {startWorker} = await import('../lib/daemon/worker-process.ts')
    await startWorker({
      config: this.#withCodebase(context, isLocal),
      reload: async () => {
        const fresh = await this.loadSettings(flags)
        return {config: this.#withCodebase(fresh, isLocal), warnings: fresh.warnings}
      },
      stateDir: context.stateDir,
      version: this.config.version,
      root: this.config.root,
      env: process.env,
      isLocal,
      once: Boolean(flags['once']),
      exitAfterIdleMs: Number(flags['exit-after-idle'] ?? 0) * 1000,
      write: (text) => void process.stderr.write(text),
      exit: (code) => process.exit(code),
      dashboard,
      isLogRedirected: !process.stderr.isTTY,
    })
  }

  /**
   * Whether there is no configuration at all, so that the worker runs its own control plane. A configuration file
   * without a server is an error, because the worker must not guess. Throws ExpectedError (78).
   */
  #isUnconfigured({config, configFiles, unreadable}: Context): boolean {
    if (config.server_url !== undefined) return false
    const file = configFiles[0] ?? unreadable[0]
    if (file === undefined) return true
    throw configError(
      unreadable.length > 0
        ? `This user may not read the configuration file ${file}, and no server was given.`
        : `The configuration file ${file} has no server_url.`,
      'Add "server_url" to the file, give --server URL, or give --local for a control plane on this machine.',
    )
  }

  /** Adds the current directory as codebase for a local control plane, if none is configured. Throws ExpectedError (2). */
  #withCodebase({config}: Context, isLocal: boolean): Context['config'] {
    if (config.codebases.length > 0 || !isLocal) return config
    const path = existing(this.directory, 'Or give --codebase PATH.')
    if (path === '/' || path === process.env['HOME'])
      throw usageError(
        `Not serving ${path} as a codebase.`,
        'Change to the directory of a project, or give --codebase PATH.',
      )
    return {...config, codebases: [{name: path.split('/').at(-1) || path, path, description: ''}]}
  }
}
