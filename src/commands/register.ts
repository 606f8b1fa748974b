import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {settingFlags} from '../flags.ts'
import {usageError} from '../lib/core/errors.ts'
import {authToken} from '../lib/config/token.ts'
import type {Codebase} from '../lib/protocol/schemas.ts'

export default class Register extends BaseCommand {
  static override summary = 'Register a codebase with the worker of this machine and the control plane'
  static override description =
    'A running worker serves the codebase at once. The command also writes it to the configuration of this user, so that the next start serves it too.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> /srv/api --description "Public API"',
  ]
  static override args = {path: Args.string({description: 'Directory (default: the current one)'})}
  static override flags = {
    ...settingFlags('worker_name', 'worker_id'),
    codebase: Flags.string({summary: 'Name of the codebase (default: the name of the directory)'}),
    description: Flags.string({summary: 'Description of the codebase', default: ''}),
    'dry-run': Flags.boolean({summary: 'Show what would be done, and change nothing'}),
  }

  async run(): Promise<{path: string; codebase: Codebase | null; file: string; worker: string | null}> {
    const {args, flags} = await this.parse(Register)
    const [{realpathSync}, {basename, resolve}, {directoryProblem}] = await Promise.all([
      import('node:fs'),
      import('node:path'),
      import('../lib/worker/registration/directory-problem.ts'),
    ])
    const given = resolve(args.path ?? '.')
    const problem = directoryProblem(given)
    if (problem) throw usageError(`Cannot register ${given}: ${problem}.`, 'Give the directory of a project.')
    const path = realpathSync(given)
    const codebase = {name: flags.codebase ?? (basename(path) || path), path, description: flags.description}
    const [{registerCodebase}, context] = await Promise.all([
      import('../lib/daemon/register-codebase.ts'),
      this.loadContext(flags),
    ])
    // before anything of the set-up is written
    if (authToken(context.config) !== undefined) await this.checkPlainHttp(context)
    return registerCodebase(codebase, {
      context,
      env: process.env,
      version: this.config.version,
      isDryRun: flags['dry-run'],
      controlPlane: () => this.controlPlane(context),
      print: (text) => this.log(text),
    })
  }
}
