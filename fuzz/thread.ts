// One target in its own thread, which can be terminated when it hangs. The thread writes its progress to shared memory,
// because a case that blocks the thread sends no messages.
import {getHeapStatistics, setFlagsFromString} from 'node:v8'
import {runInNewContext} from 'node:vm'
import {parentPort, workerData} from 'node:worker_threads'
import {Random} from './random.ts'
import type {Target} from './target.ts'

export type ThreadData = {
  target: string
  seed: number
  from: number
  to: number
  measureAt: number
  folder: string
  shared: SharedArrayBuffer
}

/** Cells of the shared memory. */
export const cells = {current: 0, accepted: 1, refused: 2, beats: 3} as const

export type ThreadMessage = {heap: number} | {crash: string}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

async function heapUsed(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    collect()
  }

  return getHeapStatistics().used_heap_size
}

async function main({target: name, seed, from, to, measureAt, folder, shared}: ThreadData): Promise<void> {
  const state = new Int32Array(shared)
  const send = (message: ThreadMessage) => parentPort?.postMessage(message)
  // Each target imports a large part of the program, and a thread shares no modules. So it loads only its own target.
  const exported = (await import(`./targets/${name}.ts`)) as Record<string, Target>
  const target = Object.values(exported).find((one) => one.name === name)
  if (!target) throw new Error(`there is no target ${name} in its file`)
  const opened = await target.open(folder)
  for (let at = from; at < to; at++) {
    if (at === measureAt) send({heap: await heapUsed()})
    Atomics.store(state, cells.current, at)
    Atomics.add(state, cells.beats, 1)
    const verdict = await opened.run(new Random(seed, name, at), at)
    Atomics.add(state, cells[verdict], 1)
    // Late errors of a case surface while it is still the current one.
    await new Promise(setImmediate)
  }

  send({heap: await heapUsed()})
  await opened.close?.()
}

const fail = (error: unknown) => {
  parentPort?.postMessage({crash: error instanceof Error ? (error.stack ?? error.message) : String(error)})
  process.exit(1)
}
process.on('uncaughtException', fail)
process.on('unhandledRejection', fail)
if (parentPort) main(workerData as ThreadData).then(() => process.exit(0), fail)
