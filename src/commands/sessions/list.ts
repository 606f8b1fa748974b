import {Flags} from '@oclif/core'
import {BaseCommand, type Context} from '../../base-command.ts'
import {settingFlags} from '../../flags.ts'
import type {Session} from '../../lib/protocol/session-schemas.ts'
import type {WireSession} from '../../lib/sessions/wire-session.ts'

type Options = {codebase?: string | undefined; limit: number}

export default class SessionsList extends BaseCommand {
  static override summary = "List OpenCode's sessions, newest first"
  static override description =
    'Lists all sessions on this machine. With --remote it lists the sessions of a codebase on the control plane, from all machines.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --codebase . --limit 10',
    '<%= config.bin %> <%= command.id %> --remote --codebase api --json',
  ]
  static override flags = {
    ...settingFlags('opencode_storage_path'),
    codebase: Flags.string({
      char: 'b',
      summary:
        'Only sessions of this codebase: name or path, with --remote also id (default with --remote: the current directory)',
    }),
    limit: Flags.integer({summary: 'Maximum number of sessions', default: 100, min: 1, max: 10_000}),
    remote: Flags.boolean({summary: 'List the sessions on the control plane'}),
  }

  async run(): Promise<(WireSession | Session)[]> {
    const {flags} = await this.parse(SessionsList)
    const {sessionTable} = await import('../../lib/ui/text/session-view.ts')
    const context = await this.loadContext({...flags, codebase: undefined})
    const {codebase, limit} = flags
    const wanted = {codebase, limit: limit + 1} // one more shows whether there are more
    const found = flags.remote ? await this.#remote(context, wanted) : await this.#local(context, wanted)
    const sessions = found.slice(0, limit)
    this.log(sessionTable(sessions, Date.now(), await this.screen(flags)))
    if (found.length > limit) this.logToStderr(`More sessions exist. Show more with --limit ${limit * 5}.`)
    return sessions
  }

  async #local({config}: Context, {codebase, limit}: Options): Promise<WireSession[]> {
    const {listLocalSessions} = await import('../../lib/daemon/list-sessions.ts')
    return listLocalSessions({config, env: process.env, cwd: this.directory, codebase, limit})
  }

  async #remote(context: Context, {codebase: wanted, limit}: Options): Promise<Session[]> {
    const {findCodebase} = await import('../../lib/client/find-codebase.ts')
    await using client = await this.controlPlane(context)
    const {id} = findCodebase(await client.codebases(), wanted, this.directory)
    const sessions: Session[] = []
    for (let cursor: string | undefined; ;) {
      const pageLimit = Math.min(limit - sessions.length, 500)
      const page = await client.sessions(id, {limit: pageLimit, ...(cursor ? {cursor} : {})})
      sessions.push(...page.sessions)
      cursor = page.next
      if (cursor === undefined || sessions.length >= limit) return sessions.slice(0, limit)
    }
  }
}
