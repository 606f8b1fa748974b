import {join} from 'node:path'
import type {Config} from '../../config/settings.ts'
import type {Clock} from '../../core/clock.ts'
import {Ballast} from '../../core/disk/ballast.ts'
import type {Emit} from '../../events/bus.ts'
import {DiskMonitor, type DiskMonitorOptions} from './disk-monitor.ts'
import {RunFolders} from './run-folders.ts'
import {RunRetention} from './run-retention.ts'

type WorkerDiskOptions = Pick<DiskMonitorOptions, 'onLow' | 'retryWrites'> & {
  config: Config
  workerDir: string
  clock: Clock
  emit: Emit
  /** Ids of the active tasks: their folders are in use. */
  activeTaskIds: () => ReadonlySet<string>
}

const mib = 1024 ** 2
const dayMs = 24 * 60 * 60_000

/** Creates what manages the worker's state directory beside the journal: run folders, their retention, free space. */
export function createWorkerDisk({config, workerDir, activeTaskIds, ...options}: WorkerDiskOptions) {
  const {clock} = options
  const root = join(workerDir, 'runs')
  const retention = new RunRetention({
    root,
    clock,
    activeTaskIds,
    get maxAgeMs() {
      return config.keep_runs_days * dayMs
    },
    get maxBytes() {
      return config.keep_runs_mb * mib
    },
  })
  const disk = new DiskMonitor({
    ...options,
    folder: workerDir,
    get minimumBytes() {
      return config.min_free_disk * mib
    },
    ballast: new Ballast(join(workerDir, 'ballast'), mib),
    retention,
  })
  return {retention, disk, folders: new RunFolders(root, clock, retention)}
}
