import {BaseCommand} from '../base-command.ts'
import {complete, type Candidate, type LiveKind} from '../completion/complete.ts'

/** Somebody waits with a finger on the tab key. */
const limitMs = 3000

export default class Complete extends BaseCommand {
  static override summary = 'Print the words that can follow on a command line; the scripts of `completion` call it'
  static override examples = ['<%= config.bin %> <%= command.id %> -- tasks cr']
  static override hidden = true
  static override strict = false
  static override enableJsonFlag = false

  async run(): Promise<void> {
    const at = this.argv.indexOf('--')
    const words = this.argv.slice(at + 1)
    const live = (kind: LiveKind) => this.#live(kind).catch(() => [])
    const {candidates, files} = await complete(words, this.config, live)
    if (files) process.stdout.write(':files\n')
    const lines = candidates.map(({word, about}) => `${plain(word)}\t${plain(about)}\n`)
    process.stdout.write(lines.join(''))
    // A control plane that does not answer must not hold up the shell.
    process.exit(0)
  }

  async #live(kind: LiveKind): Promise<Candidate[]> {
    if (kind === 'setting') {
      const {settingKeys, settingDefinition} = await import('../lib/config/settings.ts')
      return settingKeys.map((key) => ({word: key, about: settingDefinition(key).description}))
    }
    const context = await this.loadSettings({})
    if (kind === 'local-worker') {
      const {findLocalWorkers} = await import('../lib/control/local-workers.ts')
      const workers = await findLocalWorkers(process.env, context.stateDir)
      return workers.map(({name, server}) => ({word: name, about: server}))
    }
    if (kind === 'agent') return await this.#agents(context.config.agents)
    await using client = await this.controlPlane(context)
    const signal = AbortSignal.timeout(limitMs)
    switch (kind) {
      case 'codebase':
        return (await client.codebases(signal)).map(({name, path}) => ({word: name, about: path}))
      case 'task': {
        const {tasks} = await client.tasks({limit: 50, order: 'newest'}, signal)
        return tasks.map(({id, status, title}) => ({word: id.slice(0, 8), about: `${status}: ${title}`}))
      }
      case 'worker':
        return (await client.workers(signal)).map(({name, hostname}) => ({word: name, about: hostname ?? ''}))
      case 'model':
        return (await client.models(signal)).models.map(({id, name}) => ({word: id, about: name}))
    }
  }

  async #agents(setting: unknown): Promise<Candidate[]> {
    const {installedAgents} = await import('../lib/agents/installed-agents.ts')
    const {installed} = installedAgents(setting, process.env)
    return [{word: 'opencode', about: ''}, ...installed.map(({name, binary}) => ({word: name, about: binary}))]
  }
}

/** One line, so that a title cannot become a word of its own. */
const plain = (text: string) =>
  [...text]
    .map((char) => (char < ' ' || char === '\u007f' ? ' ' : char))
    .join('')
    .slice(0, 200)
