import {mkdirSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {DatabaseSync} from 'node:sqlite'

export type NewSession = {
  id: string
  directory: string
  title?: string
  parent?: string
  created?: number
  updated?: number
  archived?: number
}
export type NewMessage = {
  id: string
  session: string
  created?: number
  role?: 'user' | 'assistant'
  parts?: (Record<string, unknown> & {id: string})[]
  /** The provider of the model. */
  provider?: string
}

const epoch = Date.parse('2026-01-01T00:00:00Z')

const complete = ({
  id,
  session,
  created = epoch,
  role = 'user',
  parts = [{id: `prt_${id}`, type: 'text', text: id}],
  provider = 'fake',
}: NewMessage): Required<NewMessage> => ({id, session, created, role, parts, provider})

/** The columns of OpenCode 1.18, and a smaller set. */
const schemas = {
  new: {
    session: `id text PRIMARY KEY, project_id text NOT NULL, workspace_id text, parent_id text, slug text NOT NULL,
      directory text NOT NULL, path text, title text NOT NULL, version text NOT NULL, share_url text,
      summary_additions integer, summary_deletions integer, summary_files integer, summary_diffs text, metadata text,
      cost real DEFAULT 0 NOT NULL, revert text, permission text, agent text, model text,
      time_created integer NOT NULL, time_updated integer NOT NULL, time_compacting integer, time_archived integer`,
    message:
      'id text PRIMARY KEY, session_id text NOT NULL, time_created integer NOT NULL, time_updated integer NOT NULL, data text NOT NULL',
    part: 'id text PRIMARY KEY, message_id text NOT NULL, session_id text NOT NULL, time_created integer NOT NULL, time_updated integer NOT NULL, data text NOT NULL',
  },
  old: {
    session: 'id text PRIMARY KEY, directory text NOT NULL, title text NOT NULL, time_updated integer NOT NULL',
    message: 'id text PRIMARY KEY, session_id text NOT NULL, data text NOT NULL',
    part: 'id text PRIMARY KEY, message_id text NOT NULL, data text NOT NULL',
  },
}

/** OpenCode's database, created and written like OpenCode does. The connection stays open until disposed. */
export function agentDatabase(file: string, {schema = 'new'}: {schema?: keyof typeof schemas} = {}) {
  mkdirSync(dirname(file), {recursive: true})
  const database = new DatabaseSync(file)
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF')
  for (const [table, columns] of Object.entries(schemas[schema]))
    database.exec(`CREATE TABLE IF NOT EXISTS ${table} (${columns})`)
  database.exec('CREATE TABLE IF NOT EXISTS credential (id text, secret text)')
  database.exec('CREATE INDEX IF NOT EXISTS message_session ON message (session_id)')
  database.exec('CREATE INDEX IF NOT EXISTS part_message ON part (message_id)')
  const insert = (table: string, row: Record<string, unknown>) => {
    const known = database.prepare(`SELECT name FROM pragma_table_info('${table}')`).all()
    const names = known.map(({name}) => String(name)).filter((name) => name in row)
    const values = names.map((name) => row[name] as string | number | null)
    database
      .prepare(`INSERT OR REPLACE INTO ${table} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`)
      .run(...values)
  }
  return {
    database,
    session({id, directory, title = `about ${id}`, parent, created = epoch, updated = created, archived}: NewSession) {
      insert('session', {
        id,
        directory,
        title,
        project_id: 'p',
        slug: id,
        version: '1.18.33',
        parent_id: parent ?? null,
        summary_additions: 1,
        summary_deletions: 2,
        summary_files: 3,
        time_created: created,
        time_updated: updated,
        time_archived: archived ?? null,
      })
    },
    message(message: NewMessage) {
      const {id, session, created, role, parts, provider} = complete(message)
      const times = {time_created: created, time_updated: created}
      insert('message', {id, session_id: session, ...times, data: JSON.stringify(infoOf(role, created, provider))})
      for (const {id: part, ...data} of parts)
        insert('part', {id: part, message_id: id, session_id: session, ...times, data: JSON.stringify(data)})
    },
    [Symbol.dispose]() {
      if (database.isOpen) database.close()
    },
  }
}
export type AgentDatabase = ReturnType<typeof agentDatabase>

/** The data of a message, as OpenCode writes it beside the ids. */
const infoOf = (role: 'user' | 'assistant', created: number, providerID: string) =>
  role === 'user'
    ? {role, time: {created}, agent: 'build', model: {providerID, modelID: 'x'}}
    : {
        role,
        time: {created, completed: created + 1000},
        mode: 'build',
        providerID,
        modelID: 'x',
        cost: 0.5,
        tokens: {input: 1, output: 2},
        path: {cwd: '/secret', root: '/secret'},
      }

/** The files of OpenCode up to 1.1, in the folder `storage`. */
export function agentTree(storage: string) {
  const write = (path: string[], value: unknown) => {
    const file = join(storage, ...path)
    mkdirSync(dirname(file), {recursive: true})
    writeFileSync(file, typeof value === 'string' ? value : JSON.stringify(value))
  }
  return {
    write,
    project: (id: string, worktree: string) => write(['project', `${id}.json`], {id, worktree}),
    session(
      {id, directory, title = `about ${id}`, parent, created = epoch, updated = created}: NewSession,
      project = 'p',
    ) {
      const time = {created, updated}
      const about = {id, projectID: project, directory, title, version: '1.0.152', time, summary: {files: 3}}
      write(['session', project, `${id}.json`], {...about, ...(parent === undefined ? {} : {parentID: parent})})
    },
    message(message: NewMessage) {
      const {id, session, created, role, parts, provider} = complete(message)
      write(['message', session, `${id}.json`], {id, sessionID: session, ...infoOf(role, created, provider)})
      for (const part of parts) write(['part', id, `${part.id}.json`], {...part, messageID: id, sessionID: session})
    },
  }
}
