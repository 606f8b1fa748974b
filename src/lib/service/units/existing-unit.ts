import {join} from 'node:path'
import type {Layout} from '../machine/layout.ts'
import type {Machine} from '../machine/machine.ts'
import {fileHeader} from './units.ts'

export type UnitFile = {path: string; text: string}

/** The unit that a machine already has under the name of the service. */
export type ExistingUnit =
  | {kind: 'none'}
  | {kind: 'ours'}
  /** The unit of the Python worker, with drop-ins of an administrator. */
  | {kind: 'python'; unit: UnitFile; dropIns: UnitFile[]}
  | {kind: 'foreign'; path: string}

/** Folders in which systemd searches units, in order of precedence. */
const unitDirs = {
  system: ['/run/systemd/system', '/usr/local/lib/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system'],
  user: ['/etc/systemd/user', '/usr/local/lib/systemd/user', '/usr/lib/systemd/user'],
}

/** Finds an existing unit with the name of the service or of its companion unit. */
export function findExistingUnit(layout: Layout, machine: Machine): ExistingUnit {
  const folders = [layout.unitDir, ...unitDirs[layout.scope]]
  const first = (name: string): UnitFile | undefined => {
    for (const folder of folders) {
      const path = join(folder, `${name}.service`)
      if (machine.exists(path)) return {path, text: machine.read(path) ?? ''}
    }

    return undefined
  }
  const unit = first(layout.unit)
  const foreign = [unit, first(layout.agentsUnit)].find((file) => file && !file.text.startsWith(fileHeader))
  if (!foreign) return unit ? {kind: 'ours'} : {kind: 'none'}
  if (foreign !== unit || !isPython(unit)) return {kind: 'foreign', path: foreign.path}
  return {kind: 'python', unit, dropIns: listDropIns(layout, machine)}
}

const isPython = ({text}: UnitFile) => /^\s*ExecStart=.*\bworker\.py\b/m.test(text)

/** Drop-ins of the unit in systemd's order, without ours. */
function listDropIns({unitDir, unit}: Layout, machine: Machine): UnitFile[] {
  const folder = join(unitDir, `${unit}.service.d`)
  return machine
    .list(folder)
    .filter((name) => name.endsWith('.conf'))
    .sort()
    .map((name) => ({path: join(folder, name), text: machine.read(join(folder, name)) ?? ''}))
    .filter(({text}) => !text.startsWith(fileHeader))
}
