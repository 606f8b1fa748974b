import {getHeapStatistics, setFlagsFromString} from 'node:v8'
import {runInNewContext} from 'node:vm'

type Collect = (options: {type: 'major'; execution: 'sync'; flavor: 'last-resort'}) => void

let collect: Collect | undefined

/** What the heap took after it was compacted last, bytes. */
let compacted = 0
/** Less is not worth the pause. */
const worthBytes = 16 * 1024 * 1024

/**
 * Gives memory back that start or work needed: 14 MB of a start, 60 MB and more of thousands of tasks. Takes 40 ms and
 * up, and does nothing where there is little to be had. A daemon that is idle allocates too little for V8 to do it by
 * itself, and each fork of a smaller process is quicker.
 */
export function compactHeap(): void {
  if (compacted > 0 && heapBytes() - compacted < worthBytes) return
  collect ??= exposed()
  collect({type: 'major', execution: 'sync', flavor: 'last-resort'})
  compacted = heapBytes()
}

const heapBytes = () => getHeapStatistics().total_heap_size

function exposed(): Collect {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as Collect
}
