import {Flags} from '@oclif/core'
import {BaseCommand, type Context} from '../base-command.ts'
import {settingFlags} from '../flags.ts'
import {ExpectedError, exitCodes} from '../lib/core/errors.ts'
import type {Finding} from '../lib/doctor/finding.ts'

type Report = {state: 'healthy' | 'degraded' | 'broken'; findings: Finding[]}

export default class Doctor extends BaseCommand {
  static override summary = 'Find out why tasks do not run, and suggest a fix for each problem'
  static override description =
    'Checks the configuration, OpenCode, state, codebases, the worker of this machine, the connection to the server, and its workers and queue. Exits 0 without problems, 1 with problems.'
  static override examples = ['<%= config.bin %> <%= command.id %>', '<%= config.bin %> <%= command.id %> --json']
  static override flags = {
    ...settingFlags('opencode_bin', 'redis_url'),
    name: Flags.string({char: 'n', summary: 'Check only the worker with this name'}),
  }

  async run(): Promise<Report> {
    const {flags} = await this.parse(Doctor)
    const [{findingLines}, {ok, problem}] = await Promise.all([
      import('../lib/ui/text/doctor-view.ts'),
      import('../lib/doctor/finding.ts'),
    ])
    const findings: Finding[] = []
    const report = (found: Finding[]) => {
      findings.push(...found)
      if (found.length > 0) this.log(findingLines(found))
    }
    try {
      const context = await this.loadContext(flags)
      report([ok('configuration', context.configFiles.join(', ') || 'no file; the defaults apply')])
      for await (const found of await this.#startChecks(context, flags.name)) report(found)
    } catch (error) {
      // The other checks need the settings.
      if (!(error instanceof ExpectedError)) throw error
      report([problem('configuration', error.message, ...error.suggestions)])
    }

    const has = (state: Finding['state']) => findings.some((finding) => finding.state === state)
    const state = has('problem') ? 'broken' : has('warning') ? 'degraded' : 'healthy'
    process.exitCode = has('problem') ? exitCodes.failed : exitCodes.ok
    return {state, findings}
  }

  async #startChecks(context: Context, name: string | undefined): Promise<AsyncIterable<Finding[]>> {
    const [{runChecks}, {findLocalWorkers}, {systemClock}, {readLocalControlPlane}] = await Promise.all([
      import('../lib/doctor/doctor.ts'),
      import('../lib/control/local-workers.ts'),
      import('../lib/core/clock.ts'),
      import('../lib/config/local-control-plane.ts'),
    ])
    const {config, stateDir} = context
    const named = config.server_url?.replace(/\/+$/, '') ?? readLocalControlPlane(stateDir)?.url
    const createClient = named === undefined ? undefined : await this.clientFactory(context)
    const local = await findLocalWorkers(process.env, stateDir, name)
    const machine = {config, stateDir, root: this.config.root, env: process.env, local, server: named ?? null}
    return runChecks({machine, createClient, clock: systemClock})
  }
}
