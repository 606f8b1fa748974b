import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {flagsBySetting, serviceFlags, settingFlags} from '../flags.ts'
import type {ServiceReport} from '../lib/service/install.ts'

const settings = ['server_url', 'worker_name', 'codebases', 'opencode_bin'] as const

export default class InstallService extends BaseCommand {
  static override summary = 'Install the worker as a systemd service, or bring an installed one up to date'
  static override description =
    'As root it makes a service of the machine: a user a2a-worker, the program and its Node in /opt/a2a-worker, the configuration in /etc/a2a-worker, and a unit in a sandbox that shows it its codebases and no homes. What is there already is kept; run again, it changes only what is not as it should be. A worker of another name gets a unit and a configuration of its own. With --user it is a service of the user who runs it. It replaces the unit of a Python worker, takes over its settings, and says how to go back.'
  static override examples = [
    'sudo <%= config.bin %> <%= command.id %> --server https://plane.example --codebase api:/srv/api --start',
    'sudo <%= config.bin %> <%= command.id %> --name prod --server https://plane.example --codebase /srv/web',
    '<%= config.bin %> <%= command.id %> --user --server https://plane.example --codebase . --start',
    '<%= config.bin %> <%= command.id %> --server https://plane.example --dry-run',
  ]
  static override flags = {
    ...settingFlags(...settings),
    ...serviceFlags,
    start: Flags.boolean({summary: 'Start it, or have a running one take over what has changed'}),
  }

  async run(): Promise<ServiceReport> {
    const {flags} = await this.parse(InstallService)
    const [{installService}, {Machine}, {readConfigFiles}, {resolveConfig}, {systemClock}, os] = await Promise.all([
      import('../lib/service/install.ts'),
      import('../lib/service/machine/machine.ts'),
      import('../lib/config/file.ts'),
      import('../lib/config/resolve.ts'),
      import('../lib/core/clock.ts'),
      import('node:os'),
    ])
    const {serviceLayout} = await import('../lib/service/machine/layout.ts')
    const named = flags.config === undefined ? [] : readConfigFiles(process.env, flags.config).files
    const asked = {flags: flagsBySetting(flags, settings), env: process.env, files: [], cwd: process.cwd()}
    const {config} = resolveConfig(asked)
    const {uid, username} = os.userInfo()
    // Only a flag chooses among services: what a shell happens to have in its environment does not.
    const {name} = flags as {name?: string}
    return installService({
      machine: new Machine({root: flags.root, env: process.env}),
      layout: serviceLayout({isUser: flags.user, name, hostname: os.hostname(), env: process.env}),
      request: {
        server: config.server_url,
        codebases: config.codebases,
        openCode: config.opencode_bin,
        token: config.auth_token,
        configFile: named[0],
      },
      program: {root: this.config.root, node: process.execPath},
      user: {id: uid, name: username},
      env: process.env,
      clock: systemClock,
      isDryRun: flags['dry-run'],
      start: flags.start,
      print: (text) => this.log(text),
    })
  }
}
