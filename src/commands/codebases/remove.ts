import {Args} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import type {Codebase} from '../../lib/protocol/schemas.ts'

export default class CodebasesRemove extends BaseCommand {
  static override summary = 'Remove a codebase from the control plane'
  static override description =
    'Its waiting tasks are cancelled and its synced sessions go; the directory itself is left alone. A worker that still serves it registers it anew: take it out of the configuration of that worker first.'
  static override examples = ['<%= config.bin %> <%= command.id %> api']
  static override args = {codebase: Args.string({description: 'Id, name or path', required: true})}

  async run(): Promise<Codebase> {
    const {args, flags} = await this.parse(CodebasesRemove)
    const {findCodebase} = await import('../../lib/client/find-codebase.ts')
    await using client = await this.controlPlane(await this.loadContext(flags))
    const codebase = findCodebase(await client.codebases(this.signal), args.codebase, process.cwd())
    await client.removeCodebase(codebase.id, this.signal)
    this.log(`Codebase ${codebase.name} (${codebase.id}) is removed.`)
    if (codebase.served)
      this.logToStderr(
        'A worker serves it now and will register it again, unless it is taken out of its configuration.',
      )
    return codebase
  }
}
