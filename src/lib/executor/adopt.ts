import type {Clock} from '../core/clock.ts'
import {type ProcessIdentity, type RunObserver, type RunRequest, type RunningAgent} from './executor.ts'
import {isAlive} from './processes.ts'
import {supervise} from './supervise.ts'

export type AdoptOptions = {
  request: RunRequest
  observer: RunObserver
  clock: Clock
  /** What `spawned` told when the run was started. */
  root: ProcessIdentity
  /** How long ago that was: the deadlines go on from there. */
  runningForMs: number
}

/** Not our child, so its end has to be looked for. */
const lookMs = 100

/**
 * Takes over a run that an earlier worker on this machine, since its last boot, has started. It may have ended
 * meanwhile: then it is judged by what it printed.
 */
export function adoptRun({request, observer, clock, root, runningForMs}: AdoptOptions): RunningAgent {
  const stop = new AbortController()
  const exited = (async () => {
    while (isAlive(root)) await clock.sleep(lookMs)
    return undefined
  })()
  const supervised = supervise({
    request,
    observer,
    clock,
    root,
    exited,
    startedAt: clock.monotonic() - runningForMs,
    model: request.model,
    stop: stop.signal,
    spoolFrom: 0,
    stderrFrom: 0,
  })
  return {outcome: supervised.then(({outcome}) => outcome), stop: (reason) => stop.abort(reason)}
}
