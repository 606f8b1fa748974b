import {spawnSync} from 'node:child_process'
import {existsSync} from 'node:fs'
import {basename, dirname, isAbsolute, join} from 'node:path'
import {readIfThere} from '../../core/paths/read-if-there.ts'
import {runFiles} from '../spool/file-names.ts'
import {clearRecord, cgroupMount, groupAt, nameOf, unknownIn, type RunGroup, type RunGroups} from './run-groups.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Groups in the systemd of this user, for a worker in a login session, which may create none itself: each run is a scope
 * unit (systemd-run(1)). Undefined without such a systemd, and if it ends at a logout (no lingering), because that would
 * end the agents of a worker that goes on.
 */
export function userScopes(user: string, env: Environment): RunGroups | undefined {
  const mount = cgroupMount(readIfThere('/proc/self/mountinfo') ?? '')?.point
  if (!env['XDG_RUNTIME_DIR'] || mount === undefined || !existsSync(`/var/lib/systemd/linger/${user}`)) return undefined
  const probe = spawnSync(
    'systemd-run',
    [...scopeWords(`a2a-probe-${process.pid}`), '/bin/sh', '-c', tellGroup, mount],
    {
      env: {...env},
      encoding: 'utf8',
      timeout: 10_000,
    },
  )
  const own = probe.status === 0 ? probe.stdout.trim() : ''
  return isAbsolute(own) && basename(own).startsWith('a2a-probe-') ? scopesIn(dirname(own), mount) : undefined
}

const scopesIn = (base: string, mount: string): RunGroups => ({
  create(marker, runDir) {
    clearRecord(runDir)
    return scope(nameOf(marker), mount, join(runDir, runFiles.group))
  },
  unknown: (owner, known) => unknownIn(base, owner, known),
})

/** The scope writes its group to `record` once it exists. Until then nothing is in it. */
function scope(name: string, mount: string, record: string): RunGroup {
  const group = () => {
    const path = readIfThere(record)?.trim()
    return path ? groupAt(path) : undefined
  }
  return {
    get path() {
      return group()?.path ?? ''
    },
    enter: (pidFile, command) => [
      'systemd-run',
      [...scopeWords(name), '/bin/sh', '-c', enterScope, mount, record, pidFile, ...command],
    ],
    pids: () => group()?.pids() ?? [],
    kill: () => group()?.kill(),
    remove: () => group()?.remove(),
  }
}

const scopeWords = (name: string) => [
  ...['--user', '--scope', '--quiet', '--collect', `--unit=${name}.scope`, '--property=Delegate=yes', '--'],
]

/** Prints the folder of the shell's group, if it may be killed there. `$0`: where cgroup v2 is mounted. */
const tellGroup =
  'while read -r line; do case $line in 0::*) path="$0${line#0::}";; esac; done </proc/self/cgroup; test -w "$path/cgroup.kill" && echo "$path"'

const enterScope = `{ ${tellGroup}; } >"$1" && echo $$ >"$2" && shift 2 && exec "$@"`
