import {basename} from 'node:path'
import {Args} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {installation, scripts, shells} from '../completion/scripts.ts'
import {usageError} from '../lib/core/errors.ts'

export default class Completion extends BaseCommand {
  static override summary = 'Print a script that lets a shell complete commands, flags, ids and names'
  static override description =
    'Ids of tasks, codebases, workers and models are those of the control plane at that moment. Without an argument the shell of $SHELL is used.'
  static override examples = shells.map((shell) => installation[shell].replace('a2a-worker', '<%= config.bin %>'))
  static override args = {shell: Args.string({description: 'Shell', options: [...shells]})}
  static override enableJsonFlag = false

  async run(): Promise<void> {
    const {args} = await this.parse(Completion)
    const name = args.shell ?? basename(process.env['SHELL'] ?? '')
    const shell = shells.find((known) => known === name)
    if (!shell)
      throw usageError(
        name === '' ? 'Name the shell.' : `There is no completion for ${name}.`,
        `Give one of ${shells.join(', ')}.`,
      )
    if (process.stdout.isTTY) this.logToStderr(`Put this script where ${shell} finds it: ${installation[shell]}\n`)
    process.stdout.write(`${scripts[shell]}\n`)
  }
}
