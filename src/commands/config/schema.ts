import {BaseCommand} from '../../base-command.ts'

export default class ConfigSchema extends BaseCommand {
  static override summary = 'Print the JSON schema of the configuration file'
  static override examples = ['<%= config.bin %> <%= command.id %> > a2a-worker.schema.json']

  async run(): Promise<Record<string, unknown>> {
    await this.parse(ConfigSchema)
    const {configSchema} = await import('../../lib/config/show.ts')
    const schema = configSchema()
    this.log(JSON.stringify(schema, null, 2))
    return schema
  }
}
