import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import {settingDefinition, type SettingKey} from '../../lib/config/settings.ts'
import {usageError} from '../../lib/core/errors.ts'

type Change = {key: string; file: string; changed: boolean}

/** Where no restart is needed to have it in force. */
const hintFor = (key: SettingKey) =>
  settingDefinition(key).live ? ' A worker that runs takes it up at SIGHUP (`systemctl reload` for a service).' : ''

export default class ConfigSet extends BaseCommand {
  static override summary = 'Write a setting into the configuration of this user'
  static override description =
    'The value is checked first. Lists are comma-separated, objects are JSON. Codebases are written by `register`.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> server_url https://plane.example',
    '<%= config.bin %> <%= command.id %> max_concurrent_tasks 4',
    '<%= config.bin %> <%= command.id %> redis_url --unset',
  ]
  static override args = {
    key: Args.string({description: 'Name of the setting', required: true}),
    value: Args.string({description: 'Its value'}),
  }
  static override flags = {unset: Flags.boolean({summary: 'Take the setting out of the file'})}

  async run(): Promise<Change> {
    const {args, flags} = await this.parse(ConfigSet)
    if (Boolean(flags.unset) === (args.value !== undefined)) throw usageError('Give a value, or --unset.')
    const [{openUserConfig}, {readSetting}] = await Promise.all([
      import('../../lib/config/user-config.ts'),
      import('../../lib/config/read-setting.ts'),
    ])
    const {key, value} = readSetting(args.key, args.value, process.cwd(), process.env)
    const config = openUserConfig(process.env)
    const changed = config.set(key, value)
    this.log(changed ? `${key} is written to ${config.file}.${hintFor(key)}` : `${config.file} has it already.`)
    return {key, file: config.file, changed}
  }
}
