// Runs commands of the program one after the other in one process, each as if it had a process of its own: with its own
// arguments, environment, directory and streams, and over only when nothing is left that would keep a process alive.
import {Readable} from 'node:stream'

const home = process.cwd()
const exit = process.exit.bind(process)
/** Thrown where a process would be gone. */
const gone = new Error('process.exit')
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
  throw gone
}
for (const event of ['uncaughtException', 'unhandledRejection'])
  process.on(event, (error) => {
    if (error === gone) return
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
  import(`${program}?${runs}`).then(
    () => end(current),
    (error) => {
      if (error !== gone) process.emit('uncaughtException', error)
    },
  )
})

/** A process ends when nothing keeps it alive any more. */
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
  // In the middle of its work, or of a step of it, there is no telling what goes on: a turn later there is.
  setImmediate(() => {
    process.chdir(home)
    process.send({code, stdout: run.stdout, stderr: run.stderr, isClean: isIdle(run)})
  })
}

/** What is listened to by whom, of all that runs have in common. */
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
