import {configError} from '../../core/errors.ts'
import type {Containment} from '../../protocol/containment.ts'
import {ownRunGroups, type RunGroups} from './run-groups.ts'

/** What a worker does with the processes of its runs, and where it creates their control groups. */
export type Contained = {kind: Containment; groups: RunGroups | undefined}

/** Applies the setting `run_containment`. Throws ExpectedError (78) if this machine does not have what it asks for. */
export function chooseContainment(wanted: 'auto' | Containment): Contained {
  const groups = wanted === 'none' ? undefined : ownRunGroups()
  if (!groups && wanted === 'cgroup')
    throw configError('run_containment is cgroup, but this process may create no control groups', cgroupFix)
  return {kind: groups ? 'cgroup' : 'none', groups}
}

export const cgroupFix =
  'Run the worker as a service (a2a-worker install-service), which gets control groups of its own, or where it may write to cgroup v2.'
