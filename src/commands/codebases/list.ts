import {BaseCommand} from '../../base-command.ts'
import type {Codebase} from '../../lib/protocol/schemas.ts'

export default class CodebasesList extends BaseCommand {
  static override summary = 'List the codebases of the control plane'
  static override examples = ['<%= config.bin %> <%= command.id %>', '<%= config.bin %> <%= command.id %> --json']

  async run(): Promise<Codebase[]> {
    const {flags} = await this.parse(CodebasesList)
    const {codebaseTable} = await import('../../lib/ui/text/task-view.ts')
    await using client = await this.controlPlane(await this.loadContext(flags))
    const codebases = await client.codebases()
    this.log(codebaseTable(codebases, await this.screen(flags)))
    return codebases
  }
}
