import {lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {basename, dirname, join, relative} from 'node:path'
import {ExpectedError, messageOf} from '../../core/errors.ts'
import {grantTree} from './grant-tree.ts'
import type {Machine} from './machine.ts'
import {installProgram, isInstalled, type ProgramPlace} from './program.ts'
import {openParent} from './open-folder.ts'
import {makeFolder, moveFile, removeEmptyFolder, removeTree, replaceFile} from './safe-files.ts'
import {describeStep, type Step} from './steps.ts'

/** Whether the step has nothing to do. Commands always run, because the planner adds them only if needed. */
export async function isApplied(step: Step, machine: Machine): Promise<boolean> {
  switch (step.kind) {
    case 'folder':
      return hasOwnership(step, machine)
    case 'file':
      return (await hasOwnership(step, machine)) && machine.read(step.path) === step.text
    case 'move':
      return !machine.exists(step.from)
    case 'remove':
    case 'remove-empty':
      return !machine.exists(step.path)
    case 'program':
      return isInstalled(step.program, realPlace(step.place, machine))
    case 'verify':
    case 'run':
    case 'grant':
      return false
  }
}

async function hasOwnership(step: Extract<Step, {mode: number}>, machine: Machine): Promise<boolean> {
  const stat = lstatSync(machine.realPath(step.path), {throwIfNoEntry: false})
  if (!stat || (step.kind === 'folder' ? !stat.isDirectory() : !stat.isFile())) return false
  const ids = await machine.ids(step.owner)
  return (stat.mode & 0o7777) === step.mode && (!ids || (stat.uid === ids.uid && stat.gid === ids.gid))
}

const realPlace = ({app, node}: ProgramPlace, machine: Machine) => ({
  app: machine.realPath(app),
  node: machine.realPath(node),
})

/** Applies a step. Throws ExpectedError: a file is unwritable (73), systemd rejects a unit (78), a command fails (1). */
export async function applyStep(step: Step, machine: Machine): Promise<void> {
  if (step.kind === 'verify') return verify(step, machine)
  if (step.kind === 'run') {
    if (step.mayFail) await machine.run(step.command)
    else await machine.mustRun(step.command)
    return
  }

  try {
    await write(step, machine)
  } catch (error) {
    throw new ExpectedError(`Could not ${describeStep(step)}: ${messageOf(error)}.`, {
      code: 'CANNOT_WRITE',
      exit: 'cannotWrite',
      suggestions: ['Fix the cause and run this again. It continues where it stopped.'],
      cause: error,
    })
  }
}

async function write(step: Exclude<Step, {kind: 'verify' | 'run'}>, machine: Machine): Promise<void> {
  const {walk} = machine
  switch (step.kind) {
    case 'folder':
      return makeFolder(step.path, {mode: step.mode, ids: await machine.ids(step.owner)}, walk)
    case 'file':
      return replaceFile(step.path, step.text, {mode: step.mode, ids: await machine.ids(step.owner)}, walk)
    case 'move':
      return moveFile(step.from, step.to, walk)
    case 'remove':
      return removeTree(step.path, walk)
    case 'remove-empty':
      return removeEmptyFolder(step.path, walk)
    case 'grant':
      return grantTree(step.grant, machine)
    case 'program':
      return placeProgram(step, machine)
  }
}

/** An earlier step has given the folder to root, so nobody else can swap anything in it. */
function placeProgram({program, place}: Extract<Step, {kind: 'program'}>, {walk}: Machine): void {
  const folder = dirname(place.app)
  using opened = openParent(place.app, {...walk, creates: true})
  const within = (path: string) => opened.entry(relative(folder, path))
  installProgram(program, {app: within(place.app), node: within(place.node)})
}

/** Lets systemd check the units before they are installed. Throws ExpectedError (78) with its message. */
async function verify({files, scope}: Extract<Step, {kind: 'verify'}>, machine: Machine): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'a2a-units-'))
  try {
    for (const {path, text} of files) {
      const isDropIn = path.endsWith('.conf')
      const target = join(folder, isDropIn ? basename(dirname(path)) : '', basename(path))
      mkdirSync(dirname(target), {recursive: true})
      writeFileSync(target, text)
    }

    const units = files.filter(({path}) => path.endsWith('.service')).map(({path}) => join(folder, basename(path)))
    const user = scope === 'user' ? ['--user'] : []
    const {code, stderr} = await machine.run(['systemd-analyze', ...user, 'verify', ...units])
    if (code === 0) return
    throw new ExpectedError(`systemd rejects the units: ${messageOf(stderr.trim())}`, {
      code: 'UNIT_REFUSED',
      exit: 'config',
      suggestions: ['Check the paths in the configuration. Only the program was updated so far.'],
    })
  } finally {
    rmSync(folder, {recursive: true, force: true})
  }
}
