import * as v from 'valibot'

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const text = v.string()
const maybe = v.nullable(text)
/** The last moment that a date can stand for. */
const latest = 8.64e15

/**
 * A run as it is kept from before its spawn until its final status is acknowledged. It is checked when it is read: after
 * a file was damaged, processes and folders that are none of the run's must not be taken for its own.
 */
export const journalledRunSchema = v.pipe(
  v.object({
    task_id: v.pipe(text, v.regex(/^[^/\0]+$/)),
    attempt: count,
    title: text,
    path: text,
    run_dir: text,
    marker: text,
    boot_id: text,
    pid: v.nullable(count),
    start_time: maybe,
    session_id: maybe,
    /** Bytes of the spool that the server has acknowledged. */
    cursor: count,
    /** The final report as it will be sent, frozen; null while the run goes on. */
    report: maybe,
    /** What the agent was asked for, to ask it again. */
    agent: text,
    model: maybe,
    codebase_id: text,
    /** Wall clock, ms since 1970. */
    started_at: v.pipe(count, v.maxValue(latest)),
    /** How often the run was continued after its agent had died with the worker. */
    resumes: count,
  }),
  v.check(({marker, task_id: id, attempt}) => marker.endsWith(`:${id}:${attempt}`), 'the marker is of another run'),
  v.check(
    ({run_dir: folder, task_id: id, attempt}) => folder === '' || folder.endsWith(`/${id}/${attempt}`),
    'the folder is of another run',
  ),
)
export type JournalledRun = v.InferOutput<typeof journalledRunSchema>

/** Whole numbers come as bigints: one that is too large for a number would else keep all rows from being read. */
const plain = (value: unknown) =>
  typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value

/** Undefined: it is no run. */
export function readRow(row: Record<string, unknown>): JournalledRun | undefined {
  const values = Object.fromEntries(Object.entries(row).map(([key, value]) => [key, plain(value)]))
  const parsed = v.safeParse(journalledRunSchema, values)
  return parsed.success ? parsed.output : undefined
}
