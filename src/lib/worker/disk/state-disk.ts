import {join} from 'node:path'
import type {Clock} from '../../core/clock.ts'
import type {Config} from '../../config/settings.ts'
import type {Emit} from '../../events/bus.ts'
import {Ballast} from './ballast.ts'
import {DiskWatch, type DiskWatchOptions} from './disk-watch.ts'
import {KeptRuns} from './kept-runs.ts'
import {RunFolders} from './run-directory.ts'

type Parts = Pick<DiskWatchOptions, 'onLow' | 'catchUp'> & {
  config: Config
  workerDir: string
  clock: Clock
  emit: Emit
  /** Ids of the tasks whose folders are in use. */
  inHand: () => ReadonlySet<string>
}

const mib = 1024 ** 2
const dayMs = 24 * 60 * 60_000

/** What a worker has on the disk of its state beside the journal, and who looks after the room there. */
export function stateDisk({config, workerDir, inHand, ...parts}: Parts) {
  const {clock} = parts
  const root = join(workerDir, 'runs')
  const kept = new KeptRuns({
    root,
    clock,
    inHand,
    get keepMs() {
      return config.keep_runs_days * dayMs
    },
    get keepBytes() {
      return config.keep_runs_mb * mib
    },
  })
  const disk = new DiskWatch({
    ...parts,
    folder: workerDir,
    get minimumBytes() {
      return config.min_free_disk * mib
    },
    ballast: new Ballast(workerDir),
    kept,
  })
  return {kept, disk, folders: new RunFolders(root, clock, kept)}
}
