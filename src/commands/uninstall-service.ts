import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {serviceFlags, settingFlags} from '../flags.ts'
import type {ServiceReport} from '../lib/service/install.ts'

export default class UninstallService extends BaseCommand {
  static override summary = 'Stop and remove the service (systemd, or launchd on macOS)'
  static override description =
    'Running tasks may finish within drain_timeout, then the remaining agents are killed. Removes the unit and, with the last service, the program. Keeps configuration, state and user; --purge removes those too. On macOS state and user belong to a person, so they stay.'
  static override examples = [
    'sudo <%= config.bin %> <%= command.id %>',
    'sudo <%= config.bin %> <%= command.id %> --name prod --purge',
    '<%= config.bin %> <%= command.id %> --user --dry-run',
  ]
  static override flags = {
    ...settingFlags('worker_name'),
    ...serviceFlags,
    purge: Flags.boolean({summary: 'Remove configuration, state and user too'}),
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
    const machine = new Machine({root: flags.root, env: process.env})
    const place = {isUser: flags.user, name, hostname: os.hostname(), env: process.env}
    const uid = process.getuid?.() ?? -1
    const print = (text: string) => this.log(text)
    const common = {machine, uid, isDryRun: flags['dry-run'], purge: flags.purge, print}
    if (process.platform === 'darwin') {
      const [{uninstallWithLaunchd}, {launchdLayout}, {userName}] = await Promise.all([
        import('../lib/service/launchd/uninstall-launchd.ts'),
        import('../lib/service/launchd/launchd-layout.ts'),
        import('../lib/core/user-name.ts'),
      ])
      const layout = await launchdLayout({...place, machine, user: {id: uid, name: userName()}})
      return uninstallWithLaunchd({...common, layout})
    }

    return uninstallService({...common, layout: serviceLayout(place), hostname: os.hostname()})
  }
}
