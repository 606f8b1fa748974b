// Runs commands of the program one after the other in one process. Each command has its own arguments, environment,
// directory and streams. It ends when a process of its own would end: when nothing keeps the event loop alive.
import {Readable} from 'node:stream'

const home = process.cwd()
const exit = process.exit.bind(process)
/** Thrown by process.exit, as no code may run after it. */
const exited = new Error('process.exit')
let runs = 0
let current

for (const name of ['stdout', 'stderr'])
  process[name].write = (chunk, encoding, done = encoding) => {
    if (current) current[name] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString()
    if (typeof done === 'function') process.nextTick(done)
    return true
  }

process.exit = (code) => {
  finish(code ?? process.exitCode ?? 0)
  throw exited
}
for (const event of ['uncaughtException', 'unhandledRejection'])
  process.on(event, (error) => {
    if (error === exited) return
    process.stderr.write(`${error?.stack ?? error}\n`)
    finish(1)
  })
process.on('disconnect', () => exit())
process.on('message', ({program, args, cwd, env, input}) => {
  current = {stdout: '', stderr: '', before: resources(), listeners: listeners()}
  for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name]
  Object.assign(process.env, env)
  process.chdir(cwd)
  process.argv = [process.execPath, program, ...args]
  process.exitCode = undefined
  Object.defineProperty(process, 'stdin', {value: Readable.from([Buffer.from(input)]), configurable: true})
  runs += 1
  const returned = async () => (await import(`${program}?${runs}`)).returned
  returned().then(
    () => end(current),
    (error) => {
      if (error !== exited) process.emit('uncaughtException', error)
    },
  )
})

/** Finishes the command once nothing keeps the event loop alive. */
function end(run) {
  if (run !== current) return
  if (isIdle(run)) finish(process.exitCode ?? 0)
  else setTimeout(end, 2, run).unref()
}

function finish(code) {
  if (!current) return
  const run = current
  current = undefined
  for (const [emitter, name, listener] of listeners())
    if (!run.listeners.some((old) => old[2] === listener && old[1] === name)) emitter.off(name, listener)
  // The handle that called us still counts as active. So look one turn of the event loop later.
  setImmediate(() => {
    process.chdir(home)
    process.send({code, stdout: run.stdout, stderr: run.stderr, isClean: isIdle(run)})
  })
}

/** The listeners on the objects that all commands share, each as [emitter, event, listener]. */
function listeners() {
  return [process, process.stdout, process.stderr].flatMap((emitter) =>
    emitter.eventNames().flatMap((name) => emitter.rawListeners(name).map((listener) => [emitter, name, listener])),
  )
}

function resources() {
  const counts = {}
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

function isIdle({before}) {
  return Object.entries(resources()).every(([name, count]) => name === 'Immediate' || count <= (before[name] ?? 0))
}
