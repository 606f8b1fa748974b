// Loaded before the program of a worker or control plane. It sets the wall clock and kills the process at a named step.
import childProcess from 'node:child_process'
import {existsSync, readFileSync, unlinkSync} from 'node:fs'
import {syncBuiltinESMExports} from 'node:module'
import {join} from 'node:path'

const control = process.env.CHAOS_CONTROL
const clockFile = join(control, 'clock')
const readOffset = () => (existsSync(clockFile) ? Number(readFileSync(clockFile, 'utf8')) : 0)
let offset = readOffset()
setInterval(() => (offset = readOffset()), 100).unref()

const Real = Date
globalThis.Date = class Date extends Real {
  constructor(...args) {
    if (args.length === 0) super(Real.now() + offset)
    else super(...args)
  }

  static now() {
    return Real.now() + offset
  }
}

/** Kills the process if the control file of this step exists. */
function dieAt(step) {
  const file = join(control, step)
  if (!existsSync(file)) return
  unlinkSync(file)
  process.kill(process.pid, 'SIGKILL')
  for (;;); // the signal may arrive a moment later
}

const {spawn} = childProcess
childProcess.spawn = (file, args, options) => {
  if (!options?.detached) return spawn(file, args, options)
  dieAt('before the spawn')
  const child = spawn(file, args, options)
  dieAt('after the spawn')
  return child
}
syncBuiltinESMExports()
