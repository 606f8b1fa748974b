import {Flags} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'
import {settingFlags} from '../../flags.ts'
import type {SyncedWorker} from '../../lib/daemon/sync-sessions.ts'

export default class SessionsSync extends BaseCommand {
  static override summary = "Sync OpenCode's sessions to the control plane now"
  static override description =
    'Asks the running workers of this machine to sync, as they do each minute. Without a running worker, the command syncs itself. Only changes since the last sync are sent.'
  static override examples = ['<%= config.bin %> <%= command.id %>', '<%= config.bin %> <%= command.id %> --json']
  static override flags = {
    ...settingFlags(
      'worker_name',
      'worker_id',
      'codebases',
      'opencode_bin',
      'opencode_storage_path',
      'session_message_sync_max_sessions',
      'session_message_sync_max_messages',
    ),
    all: Flags.boolean({summary: 'Send everything again'}),
  }

  async run(): Promise<SyncedWorker[]> {
    const {flags} = await this.parse(SessionsSync)
    const [{syncSessions}, {syncTable}] = await Promise.all([
      import('../../lib/daemon/sync-sessions.ts'),
      import('../../lib/ui/text/session-view.ts'),
    ])
    const context = await this.loadContext(flags)
    const synced = await syncSessions({
      context,
      env: process.env,
      cwd: this.directory,
      version: this.config.version,
      root: this.config.root,
      all: Boolean(flags.all),
      controlPlane: () => this.controlPlane(context),
      warn: (text) => this.logToStderr(`Warning: ${text}`),
    })
    for (const {worker, running, codebases} of synced) {
      this.log(`${running ? 'The running worker' : 'This command, as worker'} ${worker} has synced its sessions.`)
      if (codebases.length > 0) this.log(syncTable(codebases))
      else this.log('OpenCode has not stored any sessions yet.')
    }

    return synced
  }
}
