import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {chooseWorker} from '../choose-worker.ts'
import type {LocalWorker} from '../lib/control/local-workers.ts'
import type {StopMode} from '../lib/control/stop-worker.ts'
import {ExpectedError, exitCodes} from '../lib/core/errors.ts'

export default class Stop extends BaseCommand {
  static override summary = 'Stop a worker of this machine'
  static override description =
    'The worker takes no more tasks, lets the running ones finish, and exits. The command waits for that; Ctrl-C ends the wait, and the worker still stops. A service is stopped with systemctl, because it would be started again.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --name build-host --cancel',
    '<%= config.bin %> <%= command.id %> --detach',
  ]
  static override flags = {
    name: Flags.string({char: 'n', summary: 'Name or id of the worker, or its beginning, if several run'}),
    cancel: Flags.boolean({summary: 'Cancel the running tasks instead of waiting for them', exclusive: ['detach']}),
    detach: Flags.boolean({summary: 'Let the agents run on; the next start goes on with them'}),
    timeout: Flags.integer({summary: 'Stop waiting after this many seconds and exit 75', min: 1, helpValue: 'SECONDS'}),
  }

  async run(): Promise<{name: string; pid: number; mode: StopMode}> {
    const {flags} = await this.parse(Stop)
    const {stateDir} = await this.loadContext(flags)
    const [{stopWorker}, {StatusLine}, {systemClock}, {onTermination}] = await Promise.all([
      import('../lib/control/stop-worker.ts'),
      import('../lib/ui/text/status-line.ts'),
      import('../lib/core/clock.ts'),
      import('../lib/core/signals.ts'),
    ])
    const onInterrupt = () => this.interrupt()
    using _signals = onTermination(onInterrupt)
    const worker = await chooseWorker({stateDir, name: flags.name, signal: this.signal, onInterrupt})
    if (worker.isService) throw await serviceError(worker)
    const mode = flags.detach ? 'detach' : flags.cancel ? 'cancel' : 'drain'
    {
      using line = new StatusLine({stream: process.stderr, clock: systemClock})
      await stopWorker(worker, {
        mode,
        clock: systemClock,
        signal: this.signal,
        timeoutMs: (flags.timeout ?? 0) * 1000,
        onWait: (tasks) => line.show({text: waitText(worker.name, tasks)}),
      })
    }
    const {name, pid} = worker
    if (this.signal.aborted) {
      this.logToStderr(`Worker ${name} is still stopping: it takes no more tasks.`)
      return this.exit(exitCodes.interrupted)
    }
    const left = flags.detach && worker.tasks.length > 0 ? ` Its ${worker.tasks.length} agents run on.` : ''
    this.log(`Worker ${name} (pid ${pid}) has stopped.${left}`)
    return {name, pid, mode}
  }
}

function waitText(name: string, tasks: readonly {title: string}[]): string {
  const [first, ...others] = tasks
  if (!first) return `Worker ${name} is stopping`
  return `Worker ${name} finishes ${first.title}${others.length > 0 ? ` and ${others.length} more` : ''}`
}

async function serviceError({name}: LocalWorker): Promise<ExpectedError> {
  const [{existsSync}, {systemLayout, unitFile}] = await Promise.all([
    import('node:fs'),
    import('../lib/service/machine/layout.ts'),
  ])
  const named = systemLayout(name)
  const {unit} = existsSync(unitFile(named)) ? named : systemLayout()
  return new ExpectedError(`The worker ${name} is a service.`, {
    ...{code: 'SERVICE_WORKER', exit: 'refused'},
    suggestions: [`Run: sudo systemctl stop ${unit}`],
  })
}
