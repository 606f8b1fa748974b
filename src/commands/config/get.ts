import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import type {ListedSetting} from '../../lib/config/show.ts'
import {exitCodes} from '../../lib/core/errors.ts'

export default class ConfigGet extends BaseCommand {
  static override summary = 'Print the value of one setting'
  static override description =
    'The value is the one in force: of a flag, the environment, a configuration file, or the default. Lists and objects are printed as JSON. Exits 1 if the setting has no value. A secret is masked without --reveal.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> server_url',
    '<%= config.bin %> <%= command.id %> codebases --json',
  ]
  static override args = {key: Args.string({description: 'Name of the setting', required: true})}
  static override flags = {reveal: Flags.boolean({summary: 'Print a secret as it is'})}

  async run(): Promise<ListedSetting> {
    const {args, flags} = await this.parse(ConfigGet)
    const [{listSettings}, {settingKey}] = await Promise.all([
      import('../../lib/config/show.ts'),
      import('../../lib/config/read-setting.ts'),
    ])
    const key = settingKey(args.key)
    const context = await this.loadContext(flags)
    const shown = listSettings(context).find((setting) => setting.key === key)
    const value = flags.reveal ? (context.config[key] ?? null) : (shown?.value ?? null)
    const setting = {key, value, source: context.sources[key]}
    if (value === null) {
      this.logToStderr(`${key} is not set.`)
      process.exitCode = exitCodes.failed
    } else this.log(typeof value === 'object' ? JSON.stringify(value) : String(value))
    return setting
  }
}
