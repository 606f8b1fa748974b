import {Args} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import {counted} from '../../lib/core/text/counted.ts'

type Validity = {files: string[]; warnings: string[]}

export default class ConfigValidate extends BaseCommand {
  static override summary = 'Check the configuration: exit 0 if it is valid, 78 with all problems if not'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> /etc/a2a-worker/config.json',
  ]
  static override args = {file: Args.string({description: 'File to check (default: all files that are read)'})}

  async run(): Promise<Validity> {
    const {args, flags} = await this.parse(ConfigValidate)
    const context = await this.loadContext({...flags, ...(args.file === undefined ? {} : {config: args.file})})
    const {authToken} = await import('../../lib/config/token.ts')
    authToken(context.config)
    const {configFiles: files, warnings} = context
    const what = files.length > 0 ? files.join(', ') : 'No configuration file, only defaults'
    this.log(`${what}: valid${warnings.length > 0 ? `, with ${counted(warnings.length, 'warning')}` : ''}.`)
    return {files, warnings}
  }
}
