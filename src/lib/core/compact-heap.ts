import {getHeapStatistics, setFlagsFromString} from 'node:v8'
import {runInNewContext} from 'node:vm'

type Collect = (options: {type: 'major'; execution: 'sync'; flavor: 'last-resort'}) => void

let collect: Collect | undefined

/** Heap size after the last compaction, in bytes. */
let compacted = 0
/** A smaller gain is not worth the pause. */
const minGainBytes = 16 * 1024 * 1024

/**
 * Returns unused heap memory to the system: 14 MB after a start, 60 MB and more after thousands of tasks. Takes 40 ms or
 * more, and does nothing if the gain is small. An idle daemon allocates too little for V8 to do this by itself. Forks of
 * a smaller process are also faster.
 */
export function compactHeap(): void {
  if (compacted > 0 && heapBytes() - compacted < minGainBytes) return
  collect ??= exposeGc()
  collect({type: 'major', execution: 'sync', flavor: 'last-resort'})
  compacted = heapBytes()
}

const heapBytes = () => getHeapStatistics().total_heap_size

function exposeGc(): Collect {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as Collect
}
