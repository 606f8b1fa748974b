import {Flags} from '@oclif/core'
import {BaseCommand, type Context} from '../base-command.ts'
import {loadDashboard, hasTerminal, surviveTerminalLoss} from '../terminal-dashboard.ts'
import {settingFlags} from '../flags.ts'
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
    'Without any configuration it runs a control plane for this machine beside the worker and serves the current directory. The first SIGTERM or Ctrl-C takes no more tasks and lets the running ones end, the second ends them, the third leaves at once. SIGHUP reloads the settings. On a terminal it shows a dashboard, which has the log in it; log lines are written where stderr leads elsewhere (2> worker.log).'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --server https://plane.example --codebase api:/srv/api --codebase /srv/web',
    '<%= config.bin %> <%= command.id %> --local --exit-after-idle 600',
  ]
  static override enableJsonFlag = false
  static override flags = {
    ...settingFlags(...settings),
    local: Flags.boolean({
      summary: 'Use the control plane of this machine, whatever is configured',
      exclusive: ['server'],
    }),
    'no-dashboard': Flags.boolean({summary: 'Log lines instead of the dashboard, on a terminal too'}),
    once: Flags.boolean({summary: 'Leave after one task'}),
    'exit-after-idle': Flags.integer({
      summary: 'Leave after so many seconds without a task',
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

  /** A worker never joins a server that was not named: with a file that names none, somebody has to choose. */
  #isUnconfigured({config, configFiles, unreadable}: Context): boolean {
    if (config.server_url !== undefined) return false
    const file = configFiles[0] ?? unreadable[0]
    if (file === undefined) return true
    throw configError(
      unreadable.length > 0
        ? `The configuration file ${file} may not be read by this user, and no server was named.`
        : `The configuration in ${file} names no server.`,
      'Add "server_url" to it, give --server URL, or give --local for a control plane on this machine.',
    )
  }

  #withCodebase({config}: Context, isLocal: boolean): Context['config'] {
    if (config.codebases.length > 0 || !isLocal) return config
    const path = process.cwd()
    if (path === '/' || path === process.env['HOME'])
      throw usageError(`Not serving ${path} as a codebase.`, 'Change to a project, or give --codebase PATH.')
    return {...config, codebases: [{name: path.split('/').at(-1) || path, path, description: ''}]}
  }
}
