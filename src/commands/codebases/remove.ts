import {Args} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import type {Codebase} from '../../lib/protocol/schemas.ts'

export default class CodebasesRemove extends BaseCommand {
  static override summary = 'Remove a codebase from the control plane'
  static override description =
    'Cancels its waiting tasks and removes its synced sessions. The directory itself is not touched. A worker that still serves the codebase registers it again: remove it from the configuration of that worker first.'
  static override examples = ['<%= config.bin %> <%= command.id %> api']
  static override args = {codebase: Args.string({description: 'Id or its beginning, name or path', required: true})}

  async run(): Promise<Codebase> {
    const {args, flags} = await this.parse(CodebasesRemove)
    const {findCodebase} = await import('../../lib/client/find-codebase.ts')
    await using client = await this.controlPlane(await this.loadContext(flags))
    const codebase = findCodebase(await client.codebases(this.signal), args.codebase, this.directory)
    await client.removeCodebase(codebase.id, this.signal)
    this.log(`Removed codebase ${codebase.name} (${codebase.id}).`)
    if (codebase.served)
      this.logToStderr(
        'A worker still serves this codebase and will register it again. Remove it from the configuration of that worker.',
      )
    return codebase
  }
}
