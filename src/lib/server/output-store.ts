import type {OutputChunk} from '../protocol/schemas.ts'
import type {Database} from '../core/database.ts'

export type Batch = {
  taskId: string
  attempt: number
  workerId: string
  data: Uint8Array
  /** In bytes of the worker's spool; null from a worker that sends none. */
  offset: number | null
  length: number
}

export type StoredChunk = OutputChunk & {seq: number}

export type AppendResult = {stored: boolean; next: number} | {conflict: true; next: number; detail: string}

/** The output of all tasks. On disk only: a reader pages through it by cursor, whatever its length. */
export class OutputStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  /** The number of batches a task has: the cursor behind its last one. */
  total(taskId: string): number {
    const row = this.#db.statement('SELECT seq FROM output WHERE task_id=? ORDER BY seq DESC LIMIT 1').get(taskId)
    return row ? Number(row['seq']) + 1 : 0
  }

  /** Where in the spool of an attempt the next batch begins. */
  next(taskId: string, attempt: number): number {
    const sql = 'SELECT attempt, position, length FROM output WHERE task_id=? ORDER BY seq DESC LIMIT 1'
    const row = this.#db.statement(sql).get(taskId)
    return row && Number(row['attempt']) === attempt ? Number(row['position'] ?? 0) + Number(row['length']) : 0
  }

  /** Stores a batch once: one seen before is dropped whole, a gap or a partial overlap is a conflict. */
  append(batch: Batch, now: string): AppendResult {
    const {taskId, attempt, offset, length} = batch
    const next = this.next(taskId, attempt)
    if (offset !== null && offset !== next) {
      if (offset + length <= next) return {stored: false, next}
      const kind = offset > next ? 'leaves a gap' : 'overlaps'
      return {conflict: true, next, detail: `output at ${offset} ${kind}: the next byte expected is ${next}`}
    }

    if (length === 0) return {stored: false, next}
    this.#db.write(
      'INSERT INTO output (task_id, seq, attempt, position, length, data, worker_id, created_at) VALUES (?,?,?,?,?,?,?,?)',
      taskId,
      this.total(taskId),
      attempt,
      next,
      length,
      batch.data,
      batch.workerId,
      now,
    )
    return {stored: true, next: next + length}
  }

  /** Batches from cursor `since`, at least one where there is one, at most about `mostBytes`. */
  read(taskId: string, since: number, mostBytes: number): StoredChunk[] {
    const sql =
      'SELECT seq, attempt, position, data, worker_id, created_at FROM output WHERE task_id=? AND seq>=? ORDER BY seq'
    const chunks: StoredChunk[] = []
    let bytes = 0
    for (const row of this.#db.statement(sql).iterate(taskId, since)) {
      const data = row['data'] as Uint8Array
      if (chunks.length > 0 && bytes + data.length > mostBytes) break
      bytes += data.length
      chunks.push({
        seq: Number(row['seq']),
        output: Buffer.from(data.buffer, data.byteOffset, data.length).toString('utf8'),
        timestamp: String(row['created_at']),
        worker_id: String(row['worker_id']),
        attempt: Number(row['attempt']),
        offset: Number(row['position']),
      })
    }

    return chunks
  }
}
