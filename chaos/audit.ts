import {existsSync, readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import type {Task} from '../src/lib/protocol/schemas.ts'
// @ts-expect-error -- plain JavaScript, shared with the agent
import {linesOf} from './agent-output.mjs'
import {isFinal, type CreatedTask, type Plan} from './load.ts'
import type {Chunk} from './plane-client.ts'
import {processesOf, readText, type World} from './world.ts'

/** Violations. Each must be 0. */
export const counts = [
  'bytes lost',
  'bytes duplicated',
  'bytes out of order',
  'tasks without a final state',
  'tasks run twice at once',
  'processes left',
  'wrong outcomes',
  'bugs reported by the programs',
] as const
export type Count = (typeof counts)[number]

export type Audit = {
  totals: Record<Count, number>
  /** One line per violation. */
  findings: string[]
  outcomes: Record<string, number>
  bytes: number
  starts: number
  /** Tasks cancelled while their worker was unreachable. Their output ends with the cancellation. */
  cancelledOffline: number
}

/** Compares the state of the control plane with the records of the agents. */
export async function audit(world: World, created: readonly CreatedTask[]): Promise<Audit> {
  const totals = Object.fromEntries(counts.map((count) => [count, 0])) as Record<Count, number>
  const findings: string[] = []
  const outcomes: Record<string, number> = {}
  const addFinding = (count: Count, by: number, text: string) => {
    if (by === 0) return
    totals[count] += by
    findings.push(`${count}: ${by}: ${text.slice(0, 300)}`)
  }
  let bytes = 0
  let starts = 0
  let cancelledOffline = 0
  for (const task of created) {
    const now = await world.client.task(task.id)
    const chunks = await world.client.output(task.id)
    outcomes[now.status] = (outcomes[now.status] ?? 0) + 1
    if (!isFinal(now)) addFinding('tasks without a final state', 1, `${task.id} is ${now.status} (${task.worker})`)
    const runs = recordsOf(world, task.id)
    starts += runs.length
    bytes += chunks.reduce((sum, {output}) => sum + Buffer.byteLength(output), 0)
    // A task cancelled while its worker is unreachable ends at once, and accepts no more output.
    const isCancelledOffline = now.status === 'cancelled' && now.error !== 'cancelled by a client'
    if (isCancelledOffline) cancelledOffline += 1
    else if (task.plan) {
      const kept = withoutLapsed(runs, now, chunks)
      const isLapsed = (attempt: number) =>
        runs.some((run) => run.attempt === attempt) && !kept.some((run) => run.attempt === attempt)
      const counted = chunks.filter((chunk) => !isLapsed(chunk.attempt))
      checkOutput(task.id, task.plan, kept, counted, addFinding)
    } else checkRealOutput(task.id, now, chunks, addFinding)
    const wrong = task.plan ? wrongOutcome(task, now, runs) : undefined
    if (wrong) addFinding('wrong outcomes', 1, `${task.id}: ${wrong}`)
  }

  for (const line of linesOfRecord(world, 'concurrent')) addFinding('tasks run twice at once', 1, line)
  for (const line of linesOfRecord(world, 'errors'))
    addFinding('wrong outcomes', 1, `an error in the stub agent: ${line}`)
  for (const line of processesLeft(world)) addFinding('processes left', 1, line)
  for (const {bugs} of [...world.planes, ...world.workers.map(({process}) => process)])
    for (const bug of bugs) addFinding('bugs reported by the programs', 1, bug)
  for (const line of bugLines(world)) addFinding('bugs reported by the programs', 1, line)
  return {totals, findings, outcomes, bytes, starts, cancelledOffline: cancelledOffline}
}

/** The lines of a record that all agents share. */
function linesOfRecord({records}: World, name: string): string[] {
  const file = join(records, name)
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
}

type AddFinding = (count: Count, by: number, text: string) => void

/** One start of an agent, from its own record. */
export type Start = {attempt: number; start: number; written: number; end: string | undefined}

function recordsOf({records}: World, task: string): Start[] {
  const folder = join(records, task)
  if (!existsSync(folder)) return []
  const read = (name: string) => {
    const file = join(folder, name)
    return existsSync(file) ? readFileSync(file, 'utf8') : undefined
  }
  return readdirSync(folder)
    .filter((name) => name.endsWith('.begin'))
    .map((name) => {
      const [attempt = '', start = ''] = name.split('.')
      const id = `${attempt}.${start}`
      return {
        attempt: Number(attempt),
        start: Number(start),
        written: Number(read(`${id}.written`) ?? 0),
        end: read(`${id}.end`),
      }
    })
    .toSorted((a, b) => a.attempt - b.attempt || a.start - b.start)
}

/**
 * The starts without those of assignments that lapsed. They are among the attempts that the control plane does not count.
 * Of most there is no output, because that confirms the assignment. But if the answer to the first output was lost, the
 * worker has not learned of it, and has given the task back.
 */
function withoutLapsed(runs: readonly Start[], {attempt, returns}: Task, chunks: readonly Chunk[]): Start[] {
  const sizeOf = (run: Start) =>
    chunks
      .filter((chunk) => chunk.attempt === run.attempt)
      .reduce((sum, {output}) => sum + Buffer.byteLength(output), 0)
  const given = runs.filter((run) => run.attempt < attempt && sizeOf(run) < run.written)
  const lapsed = [...new Set(given.toSorted((a, b) => sizeOf(a) - sizeOf(b)).map((run) => run.attempt))].slice(
    0,
    returns,
  )
  return runs.filter((run) => !lapsed.includes(run.attempt))
}

/** Checks that the output of each attempt is exactly the output of its starts, in order. */
function checkOutput(task: string, plan: Plan, runs: Start[], chunks: Chunk[], addFinding: AddFinding): void {
  for (const attempt of new Set([...runs, ...chunks].map((part) => part.attempt))) {
    const actual = Buffer.from(
      chunks
        .filter((chunk) => chunk.attempt === attempt)
        .map(({output}) => output)
        .join(''),
    )
    const starts = runs.filter((run) => run.attempt === attempt)
    const problem = compare(actual, task, plan, starts)
    if (!problem) continue
    const where = `${task} attempt ${attempt} (${starts.length} starts, ${actual.length} bytes at the server): ${problem}`
    const seen = countLines(actual, task, plan, starts)
    if (seen.duplicated + seen.outOfOrder + seen.lost === 0) addFinding('bytes lost', 1, where)
    addFinding('bytes lost', seen.lost, where)
    addFinding('bytes duplicated', seen.duplicated, where)
    addFinding('bytes out of order', seen.outOfOrder, where)
  }
}

/** Compares the bytes. Returns undefined if they are correct. */
function compare(actual: Buffer, task: string, plan: Plan, starts: readonly Start[]): string | undefined {
  let at = 0
  for (const run of starts) {
    const {attempt, start, written, end} = run
    const whole = Buffer.from([...linesOf(task, attempt, start, plan)].join(''))
    const same = endOfStart(actual.subarray(at), samePrefix(actual.subarray(at), whole), run === starts.at(-1))
    const minBytes = end === undefined ? written : whole.length
    if (same.own < minBytes) return `only ${same.own} bytes of start ${start} are there, its agent wrote ${minBytes}`
    at += same.bytes
  }

  return at === actual.length ? undefined : `${actual.length - at} bytes at ${at} come from no agent`
}

/**
 * The length of one start's output: `bytes` on the server, and `own` as the agent counts them. The first `same` bytes
 * are as expected. A killed agent may leave half a line. A full disk may cut a character, which arrives as U+FFFD. The
 * next start ends such a line first. If it does not, its own first line has the same beginning.
 */
function endOfStart(actual: Buffer, same: number, isLast: boolean): {own: number; bytes: number} {
  const isCut = actual.subarray(same, same + replacement.length).equals(replacement)
  const torn = isCut ? same + replacement.length : same
  const own = isCut ? same + 1 : same
  if (torn === 0 || actual[torn - 1] === newline) return {own, bytes: torn}
  if (actual[torn] === newline) return {own, bytes: torn + 1}
  if (isLast) return {own, bytes: torn}
  const whole = actual.lastIndexOf(newline, torn - 1) + 1
  return {own: whole, bytes: whole}
}

const newline = 10
const replacement = Buffer.from('\u{FFFD}')

function samePrefix(a: Buffer, b: Buffer): number {
  const max = Math.min(a.length, b.length)
  if (a.subarray(0, max).equals(b.subarray(0, max))) return max
  let low = 0
  for (let high = max; low < high;) {
    const middle = (low + high + 1) >> 1
    if (a.subarray(0, middle).equals(b.subarray(0, middle))) low = middle
    else high = middle - 1
  }

  return low
}

/** Counts lost, duplicated and misplaced bytes by complete lines. */
function countLines(actual: Buffer, task: string, plan: Plan, starts: readonly Start[]) {
  const order = new Map<string, number>()
  let lost = 0
  const text = actual.toString('utf8')
  const actualLines = text.split('\n').map((line) => `${line}\n`)
  const have = new Set(actualLines)
  for (const {attempt, start, written} of starts) {
    let at = 0
    for (const line of linesOf(task, attempt, start, plan)) {
      at += Buffer.byteLength(line)
      order.set(line, order.size)
      if (at <= written && !have.has(line)) lost += Buffer.byteLength(line)
    }
  }

  const seen = new Set<string>()
  let duplicated = 0
  let outOfOrder = 0
  let last = -1
  for (const line of actualLines) {
    const place = order.get(line)
    if (place === undefined) continue
    if (seen.has(line)) duplicated += Buffer.byteLength(line)
    else if (place < last) outOfOrder += Buffer.byteLength(line)
    seen.add(line)
    last = Math.max(last, place)
  }

  return {lost, duplicated, outOfOrder}
}

/** The output of OpenCode is not known exactly, but its lines are unique, and a completed task has a final event. */
function checkRealOutput(task: string, now: Task, chunks: Chunk[], addFinding: AddFinding): void {
  const attempt = Math.max(0, ...chunks.map((chunk) => chunk.attempt))
  const lines = chunks
    .filter((chunk) => chunk.attempt === attempt)
    .map(({output}) => output)
    .join('')
    .split('\n')
  const whole = lines.filter((line) => line !== '')
  const twice = whole.length - new Set(whole).size
  addFinding('bytes duplicated', twice, `${task} (real OpenCode) has ${twice} lines twice`)
  const isEnded = whole.some((line) => /"type":"step_finish".*"reason":"stop"/.test(line))
  if (now.status === 'completed' && !isEnded)
    addFinding('bytes lost', 1, `${task} (real OpenCode) is completed without a final event`)
}

/** Whether the agent has printed its complete output with a final event. How its process ends does not matter. */
function hasPrintedAll({id, plan}: CreatedTask, {attempt, start, written}: Start): boolean {
  if (plan?.end !== 'done') return false
  return written >= Buffer.byteLength([...linesOf(id, attempt, start, plan)].join(''))
}

/** A task must be completed if and only if its agent has finished. */
function wrongOutcome(task: CreatedTask, now: Task, runs: readonly Start[]): string | undefined {
  const last = runs.at(-1)
  const isDone = last !== undefined && last.attempt === now.attempt && hasPrintedAll(task, last)
  if (now.status === 'completed' && !isDone) return 'completed, but its agent did not finish'
  if (now.status === 'cancelled' && !task.wasCancelled) return 'cancelled, but nobody requested it'
  if (now.status === 'failed' && isDone) return `failed, but its agent had finished: ${now.error}`
  return undefined
}

/** The pids and command lines of agents and orphans that are left. */
const processesLeft = (world: World) =>
  processesOf(world).map((pid) => `${pid} ${readText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')}`)

const bugLines = ({folder}: World) =>
  readdirSync(join(folder, 'log')).flatMap((name) =>
    readFileSync(join(folder, 'log', name), 'utf8')
      .split('\n')
      .filter((line) => /A bug in|TypeError|ReferenceError|Unhandled|uncaught|\(internal\/|at file:\/\//i.test(line))
      .map((line) => `${name}: ${line}`),
  )
