import * as v from 'valibot'

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const text = v.string()
const maybe = v.nullable(text)
/** The largest time value of a Date. */
const maxTime = 8.64e15

/**
 * A run, recorded from before its spawn until its final status is acknowledged. It is validated when it is read: in a
 * damaged file, a row must not claim processes or folders of others.
 */
export const journalledRunSchema = v.pipe(
  v.object({
    task_id: v.pipe(text, v.regex(/^[^/\0]+$/)),
    attempt: count,
    /** How many earlier attempts never began. */
    returns: count,
    title: text,
    path: text,
    run_dir: text,
    marker: text,
    boot_id: text,
    pid: v.nullable(count),
    start_time: maybe,
    session_id: maybe,
    /** Acknowledged bytes of the spool. */
    cursor: count,
    /** The final report as it will be sent. Null while the run goes on. */
    report: maybe,
    /** The request, to repeat it. */
    agent: text,
    model: maybe,
    codebase_id: text,
    /** Unix ms. */
    started_at: v.pipe(count, v.maxValue(maxTime)),
    /** How often the run was resumed after its agent died with the worker. */
    resumes: count,
  }),
  v.check(
    ({marker, task_id: id, attempt}) => marker.endsWith(`:${id}:${attempt}`) || isSharedMarker(marker),
    'the marker is of another run',
  ),
  v.check(
    ({run_dir: folder, task_id: id, attempt}) => folder === '' || folder.endsWith(`/${id}/${attempt}`),
    'the folder is of another run',
  ),
)
export type JournalledRun = v.InferOutput<typeof journalledRunSchema>

/** Whether it marks a process that runs several tasks, one after the other. */
const isSharedMarker = (marker: string) => /:agent-[0-9a-f]{8,32}:0$/.test(marker)

/** Integers are read as bigints. Otherwise one number that is too large would make all rows unreadable. */
const plain = (value: unknown) =>
  typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value

/** Returns undefined if the row is not a valid run. */
export function readRow(row: Record<string, unknown>): JournalledRun | undefined {
  const values = Object.fromEntries(Object.entries(row).map(([key, value]) => [key, plain(value)]))
  const parsed = v.safeParse(journalledRunSchema, values)
  return parsed.success ? parsed.output : undefined
}
