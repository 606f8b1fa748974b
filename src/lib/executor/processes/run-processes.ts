import {readIfThere} from '../../core/paths/read-if-there.ts'
import {markerOf} from './processes.ts'

/** Whether the process belongs to a run of some worker: by its environment, or by its control group. */
export const isOfRun = (pid: number): boolean =>
  markerOf(pid) !== undefined ||
  /\/a2a-[0-9a-f]{8}-[0-9a-f]{16}(?:[./]|$)/m.test(readIfThere(`/proc/${pid}/cgroup`) ?? '')
