import {areServicesInaccessible, findNamedWorkers, type LocalWorker} from './lib/control/local-workers.ts'
import {ExpectedError, usageError} from './lib/core/errors.ts'

export type ChooseWorkerOptions = {
  stateDir: string
  /** Name or id of the worker, or its beginning. */
  name: string | undefined
  signal: AbortSignal
  /** Called at Ctrl-C or Ctrl-D while the user is asked. */
  onInterrupt: () => void
}

/**
 * The running worker of this machine that a command is about: the named one, or the only one. If several run, the user is
 * asked on a terminal. Throws ExpectedError: there is none (69, 77), or several (2).
 */
export async function chooseWorker({stateDir, name, signal, onInterrupt}: ChooseWorkerOptions): Promise<LocalWorker> {
  const found = await findNamedWorkers(process.env, stateDir, name)
  const [first, ...others] = found
  if (!first) throw noWorker(name, areServicesInaccessible())
  if (others.length === 0) return first
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw usageError(
      `Several workers run here: ${found.map((worker) => worker.name).join(', ')}.`,
      'Choose one with --name.',
    )
  return await ask(found, signal, onInterrupt)
}

/** Asks the user for one of the workers, by number or name. */
async function ask(workers: LocalWorker[], signal: AbortSignal, onInterrupt: () => void): Promise<LocalWorker> {
  const {createInterface} = await import('node:readline/promises')
  const lines = createInterface({input: process.stdin, output: process.stderr})
  lines.once('close', onInterrupt) // Ctrl-C and Ctrl-D
  const list = workers.map(({name, pid, server}, i) => `  ${i + 1}  ${name}  (pid ${pid}, ${server})`)
  try {
    for (;;) {
      const question = `Several workers run here:\n${list.join('\n')}\nWhich one? `
      const answer = await lines.question(question, {signal})
      const chosen = workers[Number(answer) - 1] ?? workers.find(({name}) => name === answer.trim())
      if (chosen) return chosen
    }
  } finally {
    lines.off('close', onInterrupt).close()
  }
}

function noWorker(name: string | undefined, isClosed: boolean): ExpectedError {
  const message = name
    ? `No worker named ${name} runs on this machine for this user.`
    : 'No worker runs on this machine for this user.'
  const suggestions = isClosed
    ? ['Services run on this machine. Root and members of the group a2a-worker may use them.']
    : ['Start one with `a2a-worker start`.']
  return new ExpectedError(message, {code: 'NO_WORKER', exit: isClosed ? 'refused' : 'unreachable', suggestions})
}
