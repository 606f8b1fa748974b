import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {chooseWorker} from '../choose-worker.ts'
import type {WorkerStatus} from '../lib/control/messages.ts'
import {logLevels} from '../lib/events/log-line.ts'

export default class Logs extends BaseCommand {
  static override summary = 'Show the log of a running worker of this machine'
  static override description =
    'Prints the newest lines that the worker keeps in memory, and with --follow those that come, until the worker ends. The complete log is where the worker writes it: on its stderr, or for a service in the journal (journalctl -u a2a-agent-worker).'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --follow --level debug',
    '<%= config.bin %> <%= command.id %> --lines 20 --name build-host',
  ]
  static override enableJsonFlag = false
  static override flags = {
    name: Flags.string({char: 'n', summary: 'Name or id of the worker, or its beginning, if several run'}),
    follow: Flags.boolean({char: 'f', summary: 'Show new lines as they come'}),
    lines: Flags.integer({summary: 'Number of older lines', default: 100, min: 0, helpValue: 'N'}),
    level: Flags.string({summary: 'Show lines from this level on', options: [...logLevels], default: 'info'}),
  }

  async run(): Promise<void> {
    const {flags} = await this.parse(Logs)
    const {stateDir} = await this.loadContext(flags)
    const [{watchWorker}, {logLine}, {logWriter}, {onTermination}] = await Promise.all([
      import('../lib/control/socket-client.ts'),
      import('../lib/events/log-line.ts'),
      import('../lib/events/log-writer.ts'),
      import('../lib/core/signals.ts'),
    ])
    const onInterrupt = () => this.interrupt()
    using _signals = onTermination(onInterrupt)
    const worker = await chooseWorker({stateDir, name: flags.name, signal: this.signal, onInterrupt})
    const level = logLevels.find((known) => known === flags.level) ?? 'info'
    const put = await logWriter({format: 'text', level, write: (text) => void process.stdout.write(text)})
    const onStatus = ({log}: WorkerStatus) => {
      const shown = log.items.filter((item) => logLevels.indexOf(item.level) >= logLevels.indexOf(level))
      for (const {at, task_id: taskId, ...line} of flags.lines > 0 ? shown.slice(-flags.lines) : [])
        put({...line, ...(taskId === null ? {} : {taskId})}, at)
      if (!flags.follow) this.interrupt()
    }
    await watchWorker(worker.socket, {
      signal: this.signal,
      onStatus,
      onEvent: (event) => put(logLine(event), event.at),
    })
    if (flags.follow && !this.signal.aborted) this.logToStderr(`Worker ${worker.name} has ended.`)
  }
}
