import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {usageError} from '../lib/core/errors.ts'
import type {AuditEntry} from '../lib/protocol/audit-schemas.ts'

const defaultLimit = 100

export default class Audit extends BaseCommand {
  static override summary = 'Show who did what on the control plane'
  static override description =
    "Shows which token created, cancelled, retried and ended tasks, which workers registered, and what was refused, oldest first. It needs an admin's token."
  static override examples = [
    '<%= config.bin %> <%= command.id %> --since 2h',
    '<%= config.bin %> <%= command.id %> --task TASK --json',
    '<%= config.bin %> <%= command.id %> --who ci --follow',
  ]
  static override flags = {
    since: Flags.string({
      summary: 'Only entries from this time on: an age like 30m, 2h or 7d, or a time like 2026-01-31T12:00:00Z',
      helpValue: 'TIME',
    }),
    task: Flags.string({summary: 'Only entries about this task: id, or its beginning'}),
    worker: Flags.string({summary: 'Only entries about this worker: id or name'}),
    who: Flags.string({summary: 'Only what was done with the token of this name', helpValue: 'TOKEN'}),
    limit: Flags.integer({
      summary: `Maximum number of entries, the newest (default ${defaultLimit})`,
      min: 1,
      max: 10_000,
      exclusive: ['all'],
    }),
    all: Flags.boolean({summary: 'All entries'}),
    follow: Flags.boolean({summary: 'Continue with new entries until Ctrl-C'}),
  }

  async run(): Promise<AuditEntry[]> {
    const {flags} = await this.parse(Audit)
    if (flags.follow && this.jsonEnabled()) throw usageError('--follow prints lines: it cannot be used with --json.')
    const [{readAudit, followAudit, completeIds}, {nameTasks}, {auditLine}, {systemClock}, {onTermination}] =
      await Promise.all([
        import('../lib/client/admins/read-audit.ts'),
        import('../lib/client/list-tasks.ts'),
        import('../lib/ui/text/audit-view.ts'),
        import('../lib/core/clock.ts'),
        import('../lib/core/signals.ts'),
      ])
    const from = flags.since === undefined ? undefined : await readSince(flags.since)
    await using client = await this.controlPlane(await this.loadContext(flags))
    const given = {task_id: flags.task, worker_id: flags.worker, who: flags.who, from}
    const filter = await completeIds(client, given)
    const {entries, hasMore} = await readAudit(client, filter, flags.all ? Infinity : (flags.limit ?? defaultLimit))
    if (this.jsonEnabled()) return entries
    const names = await nameTasks(client)
    const hasShortIds = process.stdout.isTTY
    const print = (some: readonly AuditEntry[]) =>
      this.log(some.map((entry) => auditLine(entry, names, {hasShortIds})).join('\n'))
    if (hasMore) this.logToStderr('Older entries exist. Show all with --all, or more with --limit.')
    if (entries.length > 0) print(entries)
    else if (!flags.follow) this.log('No entries.')
    if (flags.follow) {
      using _signals = onTermination(() => this.interrupt())
      const {signal} = this
      const last = entries.at(-1)?.n ?? 0
      await followAudit(client, filter, last, {signal, clock: systemClock, onEntries: print})
    }

    return entries
  }
}

async function readSince(text: string): Promise<string> {
  const [{isoTime, parseTime}, {parseDuration}] = await Promise.all([
    import('../lib/core/clock.ts'),
    import('../lib/core/text/duration.ts'),
  ])
  const age = parseDuration(text)
  const ms = age === undefined ? parseTime(text) : Date.now() - age
  if (ms === undefined)
    throw usageError(`--since needs an age like 2h, or a time like 2026-01-31T12:00:00Z, not ${JSON.stringify(text)}.`)
  return isoTime(ms)
}
