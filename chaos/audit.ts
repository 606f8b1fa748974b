import {existsSync, readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import type {Task} from '../src/lib/protocol/schemas.ts'
// @ts-expect-error -- plain JavaScript, shared with the agent
import {linesOf} from './agent-output.mjs'
import {isFinal, type Given, type Plan} from './load.ts'
import type {Chunk} from './plane-client.ts'
import {processesOf, readText, type World} from './world.ts'

/** What must not be. Each is 0, or something is wrong. */
export const counts = [
  'bytes lost',
  'bytes duplicated',
  'bytes out of order',
  'tasks without a final state',
  'tasks run by two at once',
  'processes left',
  'wrong outcomes',
  'bugs reported by the programs',
] as const
export type Count = (typeof counts)[number]

export type Audit = {
  totals: Record<Count, number>
  /** One line for each thing that is wrong. */
  findings: string[]
  outcomes: Record<string, number>
  bytes: number
  starts: number
  /** Tasks that were cancelled while their worker was out of reach: their output is what had come until then. */
  cutOff: number
}

/** Compares what the server has with what the agents have written down. */
export async function audit(world: World, given: readonly Given[]): Promise<Audit> {
  const totals = Object.fromEntries(counts.map((count) => [count, 0])) as Record<Count, number>
  const findings: string[] = []
  const outcomes: Record<string, number> = {}
  const found = (count: Count, by: number, text: string) => {
    if (by === 0) return
    totals[count] += by
    findings.push(`${count}: ${by}: ${text.slice(0, 300)}`)
  }
  let bytes = 0
  let starts = 0
  let cutOff = 0
  for (const task of given) {
    const now = await world.client.task(task.id)
    const chunks = await world.client.output(task.id)
    outcomes[now.status] = (outcomes[now.status] ?? 0) + 1
    if (!isFinal(now)) found('tasks without a final state', 1, `${task.id} is ${now.status} (${task.worker})`)
    const runs = recordsOf(world, task.id)
    starts += runs.length
    bytes += chunks.reduce((sum, {output}) => sum + Buffer.byteLength(output), 0)
    // Cancelled while its worker was out of reach, a task is over at once, and takes no more output.
    const isCutOff = now.status === 'cancelled' && now.error !== 'cancelled by a client'
    if (isCutOff) cutOff += 1
    else if (task.plan) checkOutput(task.id, task.plan, runs, chunks, found)
    else checkReal(task.id, now, chunks, found)
    const wrong = task.plan ? wrongOutcome(task, now, runs) : undefined
    if (wrong) found('wrong outcomes', 1, `${task.id}: ${wrong}`)
  }

  for (const line of notesOf(world, 'at-once')) found('tasks run by two at once', 1, line)
  for (const line of notesOf(world, 'mistakes')) found('wrong outcomes', 1, `a mistake in the stub agent: ${line}`)
  for (const line of processesLeft(world)) found('processes left', 1, line)
  for (const {bugs} of [world.plane, ...world.workers.map(({process}) => process)])
    for (const bug of bugs) found('bugs reported by the programs', 1, bug)
  for (const line of bugLines(world)) found('bugs reported by the programs', 1, line)
  return {totals, findings, outcomes, bytes, starts, cutOff}
}

/** What agents have written down in this file of all. */
function notesOf({records}: World, name: string): string[] {
  const file = join(records, name)
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
}

type Found = (count: Count, by: number, text: string) => void

/** One start of an agent, by its own record. */
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

/** Per attempt: what the agents wrote, one start after the other, and nothing else. */
function checkOutput(task: string, plan: Plan, runs: Start[], chunks: Chunk[], found: Found): void {
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
    const seen = linesSeen(actual, task, plan, starts)
    if (seen.duplicated + seen.outOfOrder + seen.lost === 0) found('bytes lost', 1, where)
    found('bytes lost', seen.lost, where)
    found('bytes duplicated', seen.duplicated, where)
    found('bytes out of order', seen.outOfOrder, where)
  }
}

/** The bytes themselves. Undefined: they are as they should be. */
function compare(actual: Buffer, task: string, plan: Plan, starts: readonly Start[]): string | undefined {
  let at = 0
  for (const run of starts) {
    const {attempt, start, written, end} = run
    const whole = Buffer.from([...linesOf(task, attempt, start, plan)].join(''))
    const same = endOfStart(actual.subarray(at), samePrefix(actual.subarray(at), whole), run === starts.at(-1))
    const least = end === undefined ? written : whole.length
    if (same.own < least) return `of start ${start} only ${same.own} bytes are there, its agent wrote ${least}`
    at += same.bytes
  }

  return at === actual.length ? undefined : `${actual.length - at} bytes at ${at} are of no agent`
}

/**
 * How much one start has left, where `same` bytes are as it would have written them: `bytes` as they are at the server,
 * `own` as the agent counts them. A killed agent may have left half a line, and one whose disk was full half a character,
 * which arrives as U+FFFD; whoever goes on ends that line. Without such an end, the next start's line begins alike.
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
  const most = Math.min(a.length, b.length)
  if (a.subarray(0, most).equals(b.subarray(0, most))) return most
  let low = 0
  for (let high = most; low < high;) {
    const middle = (low + high + 1) >> 1
    if (a.subarray(0, middle).equals(b.subarray(0, middle))) low = middle
    else high = middle - 1
  }

  return low
}

/** How it is wrong, in whole lines. */
function linesSeen(actual: Buffer, task: string, plan: Plan, starts: readonly Start[]) {
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

/** OpenCode's output is not known to the byte, but each of its lines is another, and done is done. */
function checkReal(task: string, now: Task, chunks: Chunk[], found: Found): void {
  const attempt = Math.max(0, ...chunks.map((chunk) => chunk.attempt))
  const lines = chunks
    .filter((chunk) => chunk.attempt === attempt)
    .map(({output}) => output)
    .join('')
    .split('\n')
  const whole = lines.filter((line) => line !== '')
  const twice = whole.length - new Set(whole).size
  found('bytes duplicated', twice, `${task} (real OpenCode) has ${twice} lines twice`)
  const isEnded = whole.some((line) => /"type":"step_finish".*"reason":"stop"/.test(line))
  if (now.status === 'completed' && !isEnded)
    found('bytes lost', 1, `${task} (real OpenCode) is completed without its end`)
}

/** It has printed all of it, and that was an end; what becomes of its process then is no matter. */
function cameToItsEnd({id, plan}: Given, {attempt, start, written}: Start): boolean {
  if (plan?.end !== 'done') return false
  return written >= Buffer.byteLength([...linesOf(id, attempt, start, plan)].join(''))
}

/** Done means done, and only that. */
function wrongOutcome(task: Given, now: Task, runs: readonly Start[]): string | undefined {
  const last = runs.at(-1)
  const isDone = last !== undefined && last.attempt === now.attempt && cameToItsEnd(task, last)
  if (now.status === 'completed' && !isDone) return 'completed, though its agent did not come to its end'
  if (now.status === 'cancelled' && !task.wasCancelled) return 'cancelled by nobody'
  if (now.status === 'failed' && isDone) return `failed, though its agent was done: ${now.error}`
  return undefined
}

/** Agents and what they left: their numbers and command lines. */
const processesLeft = (world: World) =>
  processesOf(world).map((pid) => `${pid} ${readText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')}`)

const bugLines = ({folder}: World) =>
  readdirSync(join(folder, 'log')).flatMap((name) =>
    readFileSync(join(folder, 'log', name), 'utf8')
      .split('\n')
      .filter((line) => /A bug in|TypeError|ReferenceError|Unhandled|uncaught|\(internal\/|at file:\/\//i.test(line))
      .map((line) => `${name}: ${line}`),
  )
