import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {loadDashboard, hasTerminal} from '../terminal-dashboard.ts'
import {chooseWorker} from '../choose-worker.ts'
import {usageError} from '../lib/core/errors.ts'

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
    const interrupt = () => this.interrupt()
    const worker = await chooseWorker({stateDir, name: flags.name, signal: this.signal, onInterrupt: interrupt})
    const [{attach, socketControls}, {viewFromStatus}, {ViewStore}, {systemClock: clock}, open] = await Promise.all([
      import('../lib/ui/dashboard/attach.ts'),
      import('../lib/ui/view/snapshot.ts'),
      import('../lib/ui/view/view-store.ts'),
      import('../lib/core/clock.ts'),
      loadDashboard(flags),
    ])
    const store = new ViewStore(viewFromStatus(worker, clock.now()))
    const opened = open({store, controls: socketControls(worker.socket, interrupt)})
    process.once('SIGTERM', interrupt).once('SIGINT', interrupt)
    void opened.closed.then(interrupt, interrupt)
    await attach({socket: worker.socket, store, clock, signal: this.signal})
    await opened.close()
    await opened.closed
  }
}
