import {userInfo} from 'node:os'
import {configError} from '../../core/errors.ts'
import type {Containment} from '../../protocol/containment.ts'
import {mayCreateNamespaces} from './namespace.ts'
import {ownRunGroups, type RunGroups} from './run-groups.ts'
import {userScopes} from './user-scopes.ts'

/** What a worker does with the processes of its runs, and where it creates their control groups. */
export type Contained = {kind: Containment; groups: RunGroups | undefined}

/**
 * Applies the setting `run_containment`. `auto` takes a control group, then for root a pid namespace. Another user gets
 * a namespace only if asked for: agents could not use sudo in it. Throws ExpectedError (78), which begins with `why`, if
 * this machine does not have what is asked for.
 */
export function chooseContainment(
  wanted: 'auto' | Containment,
  env: Readonly<Record<string, string | undefined>>,
  why = `run_containment is ${wanted}`,
): Contained {
  const groups = wanted === 'auto' || wanted === 'cgroup' ? (ownRunGroups() ?? userScopes(userName(), env)) : undefined
  if (groups) return {kind: 'cgroup', groups}
  if (wanted === 'cgroup') throw configError(`${why}, but this process may create no control groups.`, ...cgroupFixes)
  const isAsked = wanted === 'namespace' || (wanted === 'auto' && process.getuid?.() === 0)
  if (isAsked && mayCreateNamespaces()) return {kind: 'namespace', groups: undefined}
  if (wanted === 'namespace') throw configError(`${why}, but this process may create no pid namespaces.`, 'Use auto.')
  return {kind: 'none', groups: undefined}
}

const cgroupFixes = [
  'Run the worker as a service, which gets control groups of its own: a2a-worker install-service (or --user).',
  'In a login session: loginctl enable-linger',
]

/** Empty for a uid without an entry in passwd. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return ''
  }
}
