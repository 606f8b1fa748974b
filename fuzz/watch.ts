import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {Worker} from 'node:worker_threads'
import {cells, type ThreadData, type ThreadMessage} from './thread.ts'

/** A case that takes longer counts as a hang. */
const hangMs = 2000
const checkMs = 50
/** A target that always fails stops after this many findings. */
const maxFindings = 5

export type Finding = {target: string; case: number; kind: 'crash' | 'hang'; detail: string}
export type Outcome = {
  target: string
  cases: number
  accepted: number
  refused: number
  findings: Finding[]
  /** The growth of the used heap from a tenth of the cases to the end, after garbage collections, in MB. */
  growth: number
}

type Range = {from: number; to: number}

/** Runs cases of a target. After a crash or hang it continues with the next case in a new thread. */
export async function watchTarget(target: string, seed: number, {from, to}: Range): Promise<Outcome> {
  const shared = new SharedArrayBuffer(4 * Object.keys(cells).length)
  const state = new Int32Array(shared)
  const findings: Finding[] = []
  let growth = 0
  for (let next = from; next < to && findings.length < maxFindings;) {
    const measureAt = next + Math.ceil((to - next) / 10)
    const folder = mkdtempSync(join(tmpdir(), `a2a-fuzz-${target}-`))
    const {heaps, problem} = await runThread({target, seed, from: next, to, measureAt, folder, shared}, state)
    // Removed here, because a hanging thread does not clean up.
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

type ThreadResult = {heaps: number[]; problem?: Pick<Finding, 'kind' | 'detail'>}

function runThread(workerData: ThreadData, state: Int32Array): Promise<ThreadResult> {
  Atomics.store(state, cells.beats, 0)
  return new Promise((resolve) => {
    const thread = new Worker(new URL('thread.ts', import.meta.url), {workerData})
    const ended: ThreadResult = {heaps: []}
    let beats = -1
    let since = performance.now()
    const timer = setInterval(() => {
      const now = Atomics.load(state, cells.beats)
      // Measurements and the setup do not count as a case.
      if (now !== beats || now === 0) since = performance.now()
      beats = now
      if (performance.now() - since < hangMs) return
      clearInterval(timer)
      ended.problem = {kind: 'hang', detail: `it took over ${hangMs / 1000} s`}
      void thread.terminate()
    }, checkMs)
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
