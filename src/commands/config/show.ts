import {BaseCommand} from '../../base-command.ts'
import type {ListedSetting} from '../../lib/config/show.ts'

export default class ConfigShow extends BaseCommand {
  static override summary = 'Show the settings in force, and where each comes from'
  static override description = 'Secrets are masked.'
  static override examples = ['<%= config.bin %> <%= command.id %>', '<%= config.bin %> <%= command.id %> --json']

  async run(): Promise<ListedSetting[]> {
    const {flags} = await this.parse(ConfigShow)
    const [{listSettings}, {settingsTable}] = await Promise.all([
      import('../../lib/config/show.ts'),
      import('../../lib/ui/text/settings-table.ts'),
    ])
    const settings = listSettings(await this.loadContext(flags))
    this.log(settingsTable(settings, process.stdout.isTTY ? process.stdout.columns : Infinity))
    return settings
  }
}
