import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {loadDashboard, hasTerminal} from '../terminal-dashboard.ts'
import type {LocalWorker} from '../lib/control/local-workers.ts'
import {ExpectedError, usageError} from '../lib/core/errors.ts'

export default class Dashboard extends BaseCommand {
  static override summary = 'Watch and control a running worker of this machine'
  static override description =
    'Attaches to a running worker or service. Closing the dashboard does not affect the worker. Press ? for the keys.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --name build-host',
  ]
  static override enableJsonFlag = false
  static override flags = {
    name: Flags.string({char: 'n', summary: 'Name or id of the worker, or its beginning, if several run'}),
  }

  async run(): Promise<void> {
    const {flags} = await this.parse(Dashboard)
    if (!hasTerminal())
      throw usageError('The dashboard needs a terminal.', 'Run `a2a-worker status` for the same information as text.')
    const {stateDir} = await this.loadContext(flags)
    const {findNamedWorkers, areServicesInaccessible} = await import('../lib/control/local-workers.ts')
    const found = await findNamedWorkers(process.env, stateDir, flags.name)
    const [first, ...others] = found
    if (!first) throw noWorker(flags.name, areServicesInaccessible())
    const worker = others.length === 0 ? first : await this.#ask(found)
    const [{attach, socketControls}, {viewFromStatus}, {ViewStore}, {systemClock: clock}, open] = await Promise.all([
      import('../lib/ui/dashboard/attach.ts'),
      import('../lib/ui/view/snapshot.ts'),
      import('../lib/ui/view/view-store.ts'),
      import('../lib/core/clock.ts'),
      loadDashboard(flags),
    ])
    const store = new ViewStore(viewFromStatus(worker, clock.now()))
    const opened = open({store, controls: socketControls(worker.socket, () => this.interrupt())})
    const interrupt = () => this.interrupt()
    process.once('SIGTERM', interrupt).once('SIGINT', interrupt)
    void opened.closed.then(interrupt, interrupt)
    await attach({socket: worker.socket, store, clock, signal: this.signal})
    await opened.close()
    await opened.closed
  }

  /** Asks the user for one of the workers, by number or name. */
  async #ask(workers: LocalWorker[]): Promise<LocalWorker> {
    const {createInterface} = await import('node:readline/promises')
    const lines = createInterface({input: process.stdin, output: process.stderr})
    const interrupt = () => this.interrupt()
    lines.once('close', interrupt) // Ctrl-C and Ctrl-D
    const list = workers.map(({name, pid, server}, i) => `  ${i + 1}  ${name}  (pid ${pid}, ${server})`)
    try {
      for (;;) {
        const answer = await lines.question(`Several workers run here:\n${list.join('\n')}\nWhich one? `, {
          signal: this.signal,
        })
        const chosen = workers[Number(answer) - 1] ?? workers.find(({name}) => name === answer.trim())
        if (chosen) return chosen
      }
    } finally {
      lines.off('close', interrupt).close()
    }
  }
}

function noWorker(name: string | undefined, isClosed: boolean): ExpectedError {
  const message = name
    ? `No worker named ${name} runs on this machine for this user.`
    : 'No worker runs on this machine for this user.'
  const suggestions = isClosed
    ? ['Services run on this machine. Root and members of the group a2a-worker may watch them.']
    : ['Start one with `a2a-worker start`.']
  return new ExpectedError(message, {code: 'NO_WORKER', exit: isClosed ? 'refused' : 'unreachable', suggestions})
}
