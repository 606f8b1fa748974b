import {readIfThere} from '../../core/paths/read-if-there.ts'
import {markerOf} from './processes.ts'
import {isNameOfGroup} from './run-groups.ts'

/** Whether the process belongs to a run of some worker: by its environment, or by its control group. */
export const isOfRun = (pid: number): boolean =>
  markerOf(pid) !== undefined || (readIfThere(`/proc/${pid}/cgroup`) ?? '').split(/[/\n]/).some(isNameOfGroup)
