import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {dashboardHere, hasTerminal} from '../dashboard-here.ts'
import type {LocalWorker} from '../lib/control/local-workers.ts'
import {ExpectedError, usageError} from '../lib/core/errors.ts'

export default class Dashboard extends BaseCommand {
  static override summary = 'Watch the worker of this machine and steer it'
  static override description =
    'Attaches to a worker that runs, a service too; closing it leaves the worker as it is. Keys: ? shows them.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --name build-host',
  ]
  static override enableJsonFlag = false
  static override flags = {name: Flags.string({char: 'n', summary: 'Which worker, where several run'})}

  async run(): Promise<void> {
    const {flags} = await this.parse(Dashboard)
    if (!hasTerminal())
      throw usageError('The dashboard needs a terminal.', 'See `a2a-worker status` for the same in text.')
    const {stateDir} = await this.context(flags)
    const {findWorkers} = await import('../lib/control/local-workers.ts')
    const {socket, status} = await this.#choose(await findWorkers(process.env, stateDir, flags.name), flags.name)
    const [{attach, socketControls}, {viewOf}, {ViewStore}, {systemClock: clock}, open] = await Promise.all([
      import('../lib/ui/attached.ts'),
      import('../lib/ui/snapshot.ts'),
      import('../lib/ui/view-store.ts'),
      import('../lib/core/clock.ts'),
      dashboardHere(flags),
    ])
    const store = new ViewStore(viewOf(status, clock.now()))
    const opened = open({store, controls: socketControls(socket, () => this.interrupt())})
    const leave = () => this.interrupt()
    process.once('SIGTERM', leave).once('SIGINT', leave)
    void opened.closed.then(leave, leave)
    await attach({socket, store, clock, signal: this.signal})
    await opened.close()
    await opened.closed
  }

  /** The one that runs, or the one that somebody chooses. */
  async #choose(found: LocalWorker[], name: string | undefined) {
    const known = found.flatMap(({socket, status}) => (status ? [{socket, status}] : []))
    const [first] = known
    if (first && known.length === 1) return first
    if (first) return this.#ask(known)
    const [hidden] = found
    if (hidden)
      throw new ExpectedError(`Worker ${hidden.name} runs as another user, at ${hidden.socket}.`, {
        code: 'NOT_ALLOWED',
        exit: 'refused',
        suggestions: ['Run this as that user, or with sudo.'],
      })
    throw new ExpectedError(
      name ? `No worker named ${name} runs on this machine.` : 'No worker runs on this machine.',
      {
        code: 'NO_WORKER',
        exit: 'unreachable',
        suggestions: ['Start one with `a2a-worker start`.'],
      },
    )
  }

  async #ask<T extends {status: {name: string; pid: number; server: string}}>(workers: T[]): Promise<T> {
    const {createInterface} = await import('node:readline/promises')
    const lines = createInterface({input: process.stdin, output: process.stderr})
    const leave = () => this.interrupt()
    lines.once('close', leave) // Ctrl-C and Ctrl-D
    const list = workers.map(({status}, i) => `  ${i + 1}  ${status.name}  (pid ${status.pid}, ${status.server})`)
    try {
      for (;;) {
        const answer = await lines.question(`Several workers run here:\n${list.join('\n')}\nWhich one? `, {
          signal: this.signal,
        })
        const chosen = workers[Number(answer) - 1] ?? workers.find(({status}) => status.name === answer.trim())
        if (chosen) return chosen
      }
    } finally {
      lines.off('close', leave).close()
    }
  }
}
