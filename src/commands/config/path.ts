import {BaseCommand} from '../../base-command.ts'

type Paths = {used: string[]; unreadable: string[]; user: string; system: string; state: string}

export default class ConfigPath extends BaseCommand {
  static override summary = 'Show which configuration files are read, and which one is written'
  static override examples = ['<%= config.bin %> <%= command.id %>']

  async run(): Promise<Paths> {
    const {flags} = await this.parse(ConfigPath)
    const {systemFile, userFile} = await import('../../lib/config/file.ts')
    const {configFiles: used, unreadable, stateDir: state} = await this.loadContext(flags)
    const paths = {used, unreadable, user: userFile(process.env), system: systemFile, state}
    this.log(`read     ${used.join(', ') || 'none'}`)
    if (unreadable.length > 0) this.log(`denied   ${unreadable.join(', ')}`)
    this.log(`written  ${paths.user}`)
    this.log(`system   ${paths.system}`)
    this.log(`state    ${state}`)
    return paths
  }
}
