// Loaded into a worker or a control plane before the program: a wall clock that can be set, and a death at a named step.
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

/** Ends the process as if its power had gone, when the file of that name asks for it. */
function dieAt(step) {
  const file = join(control, step)
  if (!existsSync(file)) return
  unlinkSync(file)
  process.kill(process.pid, 'SIGKILL')
  for (;;); // a signal to oneself may take a moment
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
