import {Flags} from '@oclif/core'
import {BaseCommand, type Context} from '../base-command.ts'
import {loadDashboard, hasTerminal, surviveTerminalLoss} from '../terminal-dashboard.ts'
import {settingFlags} from '../flags.ts'
import {systemFile} from '../lib/config/file.ts'
import {authToken} from '../lib/config/token.ts'
import {configError} from '../lib/core/errors.ts'
import {isNotifyService} from '../lib/service/manager.ts'

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
  'agent_user',
  'opencode_storage_path',
  'session_message_sync_max_sessions',
  'session_message_sync_max_messages',
  'health_addr',
  'log_level',
  'log_format',
] as const

export default class Start extends BaseCommand {
  static override summary = 'Run the worker: take tasks and run them with OpenCode'
  static override description =
    'If no server is named, it also runs a control plane for this machine, and serves the current directory besides the registered ones. The first SIGTERM or Ctrl-C drains: the worker takes no more tasks and lets the running ones finish. The second cancels the running tasks, the third exits at once. SIGHUP reloads the settings. On a terminal it shows a dashboard that includes the log. If stderr is redirected (2> worker.log), it also writes log lines.'
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
    const isLocal = Boolean(flags['local']) || this.#hasNoServer(context, flags['config'] !== undefined)
    const isLogOnly = Boolean(flags['no-dashboard']) || context.config.log_format === 'json'
    const dashboard = hasTerminal() && !isLogOnly ? await loadDashboard(flags) : undefined
    surviveTerminalLoss()
    const [{startWorker}, {planLocalStart}] = await Promise.all([
      import('../lib/daemon/worker-process.ts'),
      import('../lib/daemon/local-start.ts'),
    ])
    const place = {env: process.env, stateDir: context.stateDir, directory: this.directory}
    // the worker warns itself, in its log
    if (!isLocal && authToken(context.config) !== undefined) await this.checkPlainHttp(context, {isQuiet: true})
    const local = isLocal ? await planLocalStart(context, place) : undefined
    const configOf = (settings: Context) => {
      const config = local?.withCodebases(settings) ?? settings.config
      return flags['once'] ? {...config, max_concurrent_tasks: 1} : config
    }
    await startWorker({
      config: configOf(context),
      reload: async () => {
        const fresh = await this.loadSettings(flags)
        return {config: configOf(fresh), warnings: fresh.warnings}
      },
      scope: local?.scope,
      notices: local?.notices ?? [],
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
   * Whether no server is named, so that the worker runs its own control plane. A service, a file given with --config and
   * the file of the system must name one: who wrote them had a server in mind. Throws ExpectedError (78) then.
   */
  #hasNoServer({config, configFiles, unreadable}: Context, isFileGiven: boolean): boolean {
    if (config.server_url !== undefined) return false
    const [hidden] = unreadable
    const file = configFiles.find((path) => isFileGiven || path === systemFile) ?? hidden
    if (file === undefined && !isNotifyService(process.env)) return true
    throw configError(
      file === undefined
        ? 'This worker is a service, and no server was given.'
        : file === hidden
          ? `This user may not read the configuration file ${file}, and no server was given.`
          : `The configuration file ${file} has no server_url.`,
      'Add "server_url" to the file, give --server URL, or give --local for a control plane on this machine.',
    )
  }
}
