import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {serviceFlags, settingFlags} from '../flags.ts'
import type {ServiceReport} from '../lib/service/install.ts'

export default class UninstallService extends BaseCommand {
  static override summary = 'Stop the systemd service and take back what its installation put there'
  static override description =
    'Tasks in hand may end within drain_timeout; then agents that are left are ended. Configuration and state are kept, but with --purge.'
  static override examples = [
    'sudo <%= config.bin %> <%= command.id %>',
    'sudo <%= config.bin %> <%= command.id %> --name prod --purge',
    '<%= config.bin %> <%= command.id %> --user --dry-run',
  ]
  static override flags = {
    ...settingFlags('worker_name'),
    ...serviceFlags,
    purge: Flags.boolean({summary: 'Remove configuration and state too'}),
  }

  async run(): Promise<ServiceReport> {
    const {flags} = await this.parse(UninstallService)
    const [{uninstallService}, {Machine}, {serviceLayout}, os] = await Promise.all([
      import('../lib/service/uninstall.ts'),
      import('../lib/service/machine/machine.ts'),
      import('../lib/service/machine/layout.ts'),
      import('node:os'),
    ])
    const {name} = flags as {name?: string}
    return uninstallService({
      machine: new Machine({root: flags.root, env: process.env}),
      layout: serviceLayout({isUser: flags.user, name, hostname: os.hostname(), env: process.env}),
      uid: os.userInfo().uid,
      hostname: os.hostname(),
      isDryRun: flags['dry-run'],
      purge: flags.purge,
      print: (text) => this.log(text),
    })
  }
}
