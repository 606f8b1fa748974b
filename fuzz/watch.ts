import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {Worker} from 'node:worker_threads'
import {cells, type ThreadData, type ThreadMessage} from './thread.ts'

/** A case that takes longer hangs. */
const hangMs = 2000
const lookMs = 50
/** One target that fails all the time says it often enough. */
const mostFindings = 5

export type Finding = {target: string; case: number; kind: 'crash' | 'hang'; detail: string}
export type Outcome = {
  target: string
  cases: number
  accepted: number
  refused: number
  findings: Finding[]
  /** Heap in use at the end, after a collection, above what it was after a tenth of the cases. In MB. */
  growth: number
}

type Range = {from: number; to: number}

/** Runs cases of a target; after one that crashed or hung it goes on, in a new thread, behind it. */
export async function watchTarget(target: string, seed: number, {from, to}: Range): Promise<Outcome> {
  const shared = new SharedArrayBuffer(4 * Object.keys(cells).length)
  const state = new Int32Array(shared)
  const findings: Finding[] = []
  let growth = 0
  for (let next = from; next < to && findings.length < mostFindings;) {
    const measureAt = next + Math.ceil((to - next) / 10)
    const folder = mkdtempSync(join(tmpdir(), `a2a-fuzz-${target}-`))
    const {heaps, problem} = await runThread({target, seed, from: next, to, measureAt, folder, shared}, state)
    // Here, as a thread that hangs does not clean up.
    rmSync(folder, {recursive: true, force: true})
    const [before, after] = heaps
    if (before !== undefined && after !== undefined) growth = Math.max(growth, (after - before) / 1e6)
    next = to
    if (!problem) continue
    const at = state[cells.current] ?? 0
    findings.push({target, case: at, ...problem})
    next = at + 1
  }

  const [accepted = 0, refused = 0] = [state[cells.accepted], state[cells.refused]]
  return {target, cases: (state[cells.current] ?? 0) + 1 - from, accepted, refused, findings, growth}
}

type Ended = {heaps: number[]; problem?: Pick<Finding, 'kind' | 'detail'>}

function runThread(workerData: ThreadData, state: Int32Array): Promise<Ended> {
  Atomics.store(state, cells.beats, 0)
  return new Promise((resolve) => {
    const thread = new Worker(new URL('thread.ts', import.meta.url), {workerData})
    const ended: Ended = {heaps: []}
    let beats = -1
    let since = performance.now()
    const timer = setInterval(() => {
      const now = Atomics.load(state, cells.beats)
      // What is measured, and what is made at the beginning, is no case.
      if (now !== beats || now === 0) since = performance.now()
      beats = now
      if (performance.now() - since < hangMs) return
      clearInterval(timer)
      ended.problem = {kind: 'hang', detail: `it took over ${hangMs / 1000} s`}
      void thread.terminate()
    }, lookMs)
    thread.on('message', (message: ThreadMessage) => {
      if ('heap' in message) ended.heaps.push(message.heap)
      else ended.problem = {kind: 'crash', detail: message.crash}
    })
    thread.on('error', (error) => (ended.problem ??= {kind: 'crash', detail: String(error)}))
    thread.on('exit', () => {
      clearInterval(timer)
      resolve(ended)
    })
  })
}
