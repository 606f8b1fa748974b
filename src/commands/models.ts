import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {settingFlags} from '../flags.ts'

type ListedModel = {id: string; name: string; provider: string}
type Listed = {models: readonly ListedModel[]; reason: string | null}

export default class Models extends BaseCommand {
  static override summary = 'List the models that tasks can name'
  static override description =
    'Lists the models that the OpenCode of this machine can use with its logins, or with --remote the models of all workers. Only the provider names of the logins are read.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --with claude',
    '<%= config.bin %> <%= command.id %> --remote --json',
  ]
  static override flags = {
    ...settingFlags('opencode_bin'),
    with: Flags.string({
      summary: 'List the models of this agent instead, for example claude, codex or gemini; it is started for that',
      helpValue: 'NAME',
      exclusive: ['remote'],
    }),
    remote: Flags.boolean({summary: 'List the models that workers have announced to the control plane'}),
  }

  async run(): Promise<readonly ListedModel[]> {
    const {flags} = await this.parse(Models)
    const [{plainLine}, {table}] = await Promise.all([
      import('../lib/core/text/plain-line.ts'),
      import('../lib/ui/text/table.ts'),
    ])
    const {models, reason} = await this.#models(flags)
    // On a terminal the name gives way: tasks need the id.
    const widest = (key: 'id' | 'provider') => Math.max(0, ...models.map((model) => model[key].length))
    const columns = process.stdout.isTTY ? process.stdout.columns : Infinity
    const nameWidth = Math.max(8, columns - widest('id') - widest('provider') - 4)
    const rows = models.map(({id, name, provider}) => [id, plainLine(name, nameWidth), provider])
    this.log(rows.length > 0 ? table(rows, ['MODEL', 'NAME', 'PROVIDER']) : 'No models.')
    if (rows.length === 0 && reason) this.logToStderr(`Reason: ${reason}.`)
    if (rows.length === 0 && !flags.remote && flags.with === undefined)
      this.logToStderr("Log in to a provider with `opencode auth login`, or add one to OpenCode's configuration.")
    return models
  }

  async #models({with: agent, ...flags}: {with?: string | undefined; remote: boolean}): Promise<Listed> {
    if (agent !== undefined && agent !== 'opencode') return await this.#ofAgent(agent, flags)
    return flags.remote ? await this.#remote(flags) : await this.#local(flags)
  }

  async #ofAgent(name: string, flags: object): Promise<Listed> {
    const [{modelsOfAgent}, {systemClock}] = await Promise.all([
      import('../lib/daemon/agent-models.ts'),
      import('../lib/core/clock.ts'),
    ])
    const {config, stateDir} = await this.loadContext({...flags})
    const place = {stateDir, cwd: process.cwd(), env: process.env}
    const models = await modelsOfAgent(name, {config, ...place, clock: systemClock, signal: this.signal})
    return {models, reason: `${name} lets nobody choose a model`}
  }

  async #remote(flags: object): Promise<Listed> {
    await using client = await this.controlPlane(await this.loadContext({...flags}))
    return await client.models(this.signal)
  }

  async #local(flags: object): Promise<Listed> {
    const [{localOpenCode, dataDirectory}, {createModelSource}, {systemClock}] = await Promise.all([
      import('../lib/opencode/program/local-opencode.ts'),
      import('../lib/opencode/program/models.ts'),
      import('../lib/core/clock.ts'),
    ])
    const {config, stateDir} = await this.loadContext({...flags})
    const openCode = localOpenCode({config, stateDir, root: this.config.root, env: process.env})
    const source = {
      ...openCode,
      clock: systemClock,
      dataDir: dataDirectory(openCode.env(openCode.directory)),
    }
    const models = createModelSource(source)
    return {models: await models.get(), reason: models.problem?.() ?? null}
  }
}
