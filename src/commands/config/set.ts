import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import {settingDefinition, type SettingKey} from '../../lib/config/settings.ts'
import {usageError} from '../../lib/core/errors.ts'

type Change = {key: string; file: string; changed: boolean}

/** How to apply the setting to a running worker. Empty if that needs a restart. */
const reloadHint = (key: SettingKey) =>
  settingDefinition(key).live ? ' A running worker applies it at SIGHUP (`systemctl reload` for a service).' : ''

export default class ConfigSet extends BaseCommand {
  static override summary = "Write a setting to this user's configuration file"
  static override description =
    'The value is checked first. Separate the items of a list by commas, write objects as JSON. To add a codebase, use `register`.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> server_url https://plane.example',
    '<%= config.bin %> <%= command.id %> max_concurrent_tasks 4',
    '<%= config.bin %> <%= command.id %> redis_url --unset',
  ]
  static override args = {
    key: Args.string({description: 'Name of the setting', required: true}),
    value: Args.string({description: 'Its value'}),
  }
  static override flags = {unset: Flags.boolean({summary: 'Remove the setting from the file'})}

  async run(): Promise<Change> {
    const {args, flags} = await this.parse(ConfigSet)
    if (Boolean(flags.unset) === (args.value !== undefined)) throw usageError('Give a value, or --unset.')
    const [{openUserConfig}, {readSetting}] = await Promise.all([
      import('../../lib/config/user-config.ts'),
      import('../../lib/config/read-setting.ts'),
    ])
    const {key, value} = readSetting(args.key, args.value, this.directory, process.env)
    const config = openUserConfig(process.env)
    const changed = config.set(key, value)
    this.log(changed ? `Wrote ${key} to ${config.file}.${reloadHint(key)}` : `${config.file} is unchanged.`)
    return {key, file: config.file, changed}
  }
}
