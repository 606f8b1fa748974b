import {spawnSync} from 'node:child_process'
import {writeFileSync} from 'node:fs'
import {join} from 'node:path'

/** Why no process here can have another host name or machine id; undefined if it can. */
export function otherHostProblem(): string | undefined {
  if (process.platform !== 'linux') return 'it needs Linux'
  const {status} = spawnSync('unshare', ['--mount', '--uts', 'hostname', 'other'])
  return status === 0 ? undefined : 'it needs root, unshare and hostname'
}

export type Host = {name: string; machineId?: string}

/** The command that runs another one as on a host with this name, and with this machine id. `folder` is for a file. */
export function asHost(folder: string, {name, machineId}: Host): string[] {
  const steps = [`hostname ${name}`]
  if (machineId !== undefined) {
    const file = join(folder, `machine-id-${machineId.slice(0, 8)}`)
    writeFileSync(file, `${machineId}\n`)
    steps.push(`mount --bind ${file} /etc/machine-id`)
  }

  return ['unshare', '--mount', '--uts', 'sh', '-c', `${steps.join(' && ')} && exec "$@"`, 'sh']
}
