import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import {settingDefinition, settings, type SettingKey} from '../../lib/config/settings.ts'
import {usageError} from '../../lib/core/errors.ts'

type Change = {key: string; file: string; changed: boolean}

/** How to apply the setting to a running worker. Empty if that needs a restart. */
const reloadHint = (key: SettingKey) =>
  settingDefinition(key).live ? ' A running worker applies it at SIGHUP (`systemctl reload` for a service).' : ''

export default class ConfigSet extends BaseCommand {
  static override summary = "Write a setting to this user's configuration file"
  static override description =
    'The value is checked first. Separate the items of a list by commas, write objects as JSON. A secret, like auth_token, is asked for, or read from stdin: on the command line, other users of the machine could see it. To add a codebase, use `register`.'
  static override examples = [
    '<%= config.bin %> <%= command.id %> server_url https://plane.example',
    '<%= config.bin %> <%= command.id %> max_concurrent_tasks 4',
    '<%= config.bin %> <%= command.id %> auth_token < token.txt',
    '<%= config.bin %> <%= command.id %> redis_url --unset',
  ]
  static override args = {
    key: Args.string({description: 'Name of the setting', required: true}),
    value: Args.string({description: 'Its value; leave it out for a secret', ignoreStdin: true}),
  }
  static override flags = {unset: Flags.boolean({summary: 'Remove the setting from the file'})}

  async run(): Promise<Change> {
    const {args, flags} = await this.parse(ConfigSet)
    const isSecret = Object.hasOwn(settings, args.key) && settingDefinition(args.key as SettingKey).secret === true
    const isAsked = isSecret && args.value === undefined && !flags.unset
    if (!isAsked && Boolean(flags.unset) === (args.value !== undefined)) throw usageError('Give a value, or --unset.')
    if (isSecret && args.value !== undefined)
      this.logToStderr(
        `Other users of this machine could see ${args.key} on the command line, and your shell may remember it. Leave it out: it is asked for, or read from stdin.`,
      )
    const given = isAsked ? await this.#readSecret(args.key) : args.value
    const [{openUserConfig}, {readSetting}] = await Promise.all([
      import('../../lib/config/user-config.ts'),
      import('../../lib/config/read-setting.ts'),
    ])
    const {key, value} = readSetting(args.key, given, this.directory, process.env)
    if (key === 'server_url' && typeof value === 'string') await this.#checkServer(value, flags.insecure)
    const config = openUserConfig(process.env)
    const changed = config.set(key, value)
    this.log(changed ? `Wrote ${key} to ${config.file}.${reloadHint(key)}` : `${config.file} is unchanged.`)
    return {key, file: config.file, changed}
  }

  /** A server that is configured already, or named here with --insecure, is accepted. Throws ExpectedError (78). */
  async #checkServer(server: string, isInsecure: boolean): Promise<void> {
    const [{refusePlainHttp}, {config}] = await Promise.all([
      import('../../lib/config/plain-http.ts'),
      this.loadSettings({}),
    ])
    if (!isInsecure && !config.insecure && config.server_url !== server) refusePlainHttp(server)
  }

  async #readSecret(name: string): Promise<string> {
    const {readSecret} = await import('../../lib/config/read-secret.ts')
    return await readSecret(name, {stdin: process.stdin, ask: (text) => void process.stderr.write(text)})
  }
}
