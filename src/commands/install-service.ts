import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {flagsBySetting, serviceFlags, settingFlags} from '../flags.ts'
import type {ServiceReport} from '../lib/service/install.ts'

const settings = ['server_url', 'insecure', 'worker_name', 'codebases', 'opencode_bin', 'agent_user'] as const

export default class InstallService extends BaseCommand {
  static override summary = 'Install or update the worker as a service (systemd, or launchd on macOS)'
  static override description =
    'As root it installs a service of the machine: a user a2a-worker, the program and its Node in /opt/a2a-worker, the configuration in /etc/a2a-worker, and a sandboxed unit that sees its codebases but no home directories. With --user it installs a service of the current user. Existing configuration is kept. Run it again to update: it changes only what differs. With --agent-user a2a-agent, agents run as a user of their own, who can read neither state nor token. A worker with another name gets its own unit and configuration. If the unit of a Python worker exists, it is replaced and its settings are taken over. The command then prints how to restore the old unit. On macOS it installs a LaunchDaemon, which runs as the user who calls sudo, and with --user a LaunchAgent.'
  static override examples = [
    'sudo <%= config.bin %> <%= command.id %> --server https://plane.example --codebase api:/srv/api --start',
    'sudo <%= config.bin %> <%= command.id %> --name prod --server https://plane.example --codebase /srv/web',
    '<%= config.bin %> <%= command.id %> --user --server https://plane.example --codebase . --start',
    '<%= config.bin %> <%= command.id %> --server https://plane.example --dry-run',
  ]
  static override flags = {
    ...settingFlags('server_url', 'worker_name', 'codebases', 'opencode_bin', 'agent_user'),
    ...serviceFlags,
    start: Flags.boolean({
      summary: 'Start the service, or apply changes to a running one while its agents keep running',
    }),
    grant: Flags.boolean({
      summary: 'Give the user of the service rights on the codebases (setfacl); their owners keep theirs',
      exclusive: ['user', 'root'],
    }),
    path: Flags.string({
      summary: 'Add a folder with tools to the PATH of the service, and let it see them; repeatable',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'DIR',
    }),
  }

  async run(): Promise<ServiceReport> {
    const {flags} = await this.parse(InstallService)
    const [{installService}, {Machine}, {readConfigFiles}, {resolveConfig}, {systemClock}, {userName}, os] =
      await Promise.all([
        import('../lib/service/install.ts'),
        import('../lib/service/machine/machine.ts'),
        import('../lib/config/file.ts'),
        import('../lib/config/resolve.ts'),
        import('../lib/core/clock.ts'),
        import('../lib/core/user-name.ts'),
        import('node:os'),
      ])
    const [{serviceLayout}, {resolve}] = await Promise.all([
      import('../lib/service/machine/layout.ts'),
      import('node:path'),
    ])
    const configFiles = flags.config === undefined ? [] : readConfigFiles(process.env, flags.config).files
    const input = {flags: flagsBySetting(flags, settings), env: process.env, files: [], cwd: this.directory}
    const {config} = resolveConfig(input)
    // Only the flag chooses the service: A2A_WORKER_NAME in the shell's environment must not.
    const {name} = flags as {name?: string}
    const machine = new Machine({root: flags.root, env: process.env})
    const place = {isUser: flags.user, name, hostname: os.hostname(), env: process.env}
    const user = {id: process.getuid?.() ?? -1, name: userName()}
    const common = {
      machine,
      request: {
        server: config.server_url,
        codebases: config.codebases,
        openCode: config.opencode_bin,
        agentUser: config.agent_user,
        token: config.auth_token,
        isInsecure: config.insecure,
        configFile: configFiles[0],
        paths: (flags.path ?? []).map((folder) => resolve(folder)),
      },
      program: {root: this.config.root, node: process.execPath},
      env: process.env,
      isDryRun: flags['dry-run'],
      start: flags.start,
      print: (text: string) => this.log(text),
    }
    if (process.platform === 'darwin') {
      const [{installWithLaunchd}, {launchdLayout}, {usageError}] = await Promise.all([
        import('../lib/service/launchd/install-launchd.ts'),
        import('../lib/service/launchd/launchd-layout.ts'),
        import('../lib/core/errors.ts'),
      ])
      if (flags.grant) throw usageError('--grant needs systemd, so it does not work on macOS.', 'Leave it out.')
      return installWithLaunchd({...common, uid: user.id, layout: await launchdLayout({...place, machine, user})})
    }

    return installService({...common, user, layout: serviceLayout(place), clock: systemClock, grant: flags.grant})
  }
}
