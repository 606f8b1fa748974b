import type {Clock} from '../../core/clock.ts'
import {ExpectedError} from '../../core/errors.ts'
import type {AuditEntry} from '../../protocol/audit-schemas.ts'
import type {ControlPlaneClient} from '../control-plane.ts'
import {isTransient, RefusedError} from '../http.ts'
import {matchId, tasksLike, describeTask, findWorkerId} from '../short-id.ts'

export type AuditFilter = {
  task_id?: string | undefined
  worker_id?: string | undefined
  who?: string | undefined
  /** RFC 3339. */
  from?: string | undefined
}

const pageRows = 500
const followMs = 1000

/** Reads the newest entries, at most `limit`, and returns them oldest first. Throws ExpectedError on a server without an audit. */
export async function readAudit(
  client: ControlPlaneClient,
  filter: AuditFilter,
  limit: number,
): Promise<{entries: AuditEntry[]; hasMore: boolean}> {
  const entries: AuditEntry[] = []
  let cursor: string | undefined
  do {
    const wanted = Math.min(limit - entries.length, pageRows)
    const page = await client.audit({...filter, limit: wanted, cursor}).catch((error: unknown) => {
      throw explain(error)
    })
    entries.push(...page.entries)
    cursor = page.next
  } while (cursor !== undefined && entries.length < limit)
  return {entries: entries.toReversed(), hasMore: cursor !== undefined}
}

const explain = (error: unknown) =>
  error instanceof RefusedError && error.status === 404 && error.hasNoRoute
    ? new ExpectedError('This server keeps no audit.', {
        code: 'NO_AUDIT',
        exit: 'refused',
        suggestions: ['The control plane of this program does: a2a-worker serve'],
        cause: error,
      })
    : error

/** Calls `onEntries` with all later entries, until aborted. The control plane may be away meanwhile. */
export async function followAudit(
  client: ControlPlaneClient,
  filter: AuditFilter,
  after: number,
  {signal, clock, onEntries}: {signal: AbortSignal; clock: Clock; onEntries: (entries: AuditEntry[]) => void},
): Promise<void> {
  let last = after
  while (!signal.aborted) {
    try {
      let cursor: string | undefined
      do {
        const page = await client.audit({...filter, after: last, cursor, limit: pageRows}, signal)
        last = page.entries.at(-1)?.n ?? last
        if (page.entries.length > 0) onEntries(page.entries)
        cursor = page.next
      } while (cursor !== undefined)
    } catch (error) {
      if (signal.aborted) return
      if (!isTransient(error)) throw error
    }

    await clock.sleep(followMs, signal)
  }
}

/** The filter with complete ids. An id that the control plane does not know any more is used as it is. */
export async function completeIds(client: ControlPlaneClient, filter: AuditFilter): Promise<AuditFilter> {
  const {task_id: task, worker_id: worker} = filter
  return {
    ...filter,
    ...(task === undefined ? {} : {task_id: await findTaskId(client, task)}),
    ...(worker === undefined ? {} : {worker_id: (await findWorkerId(client, worker)) ?? worker}),
  }
}

const findTaskId = async (client: ControlPlaneClient, given: string) =>
  matchId('task', given, (await tasksLike(client, given)).map(describeTask)) ?? given
