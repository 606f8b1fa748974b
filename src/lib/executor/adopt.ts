import {statSync} from 'node:fs'
import {join} from 'node:path'
import type {Clock} from '../core/clock.ts'
import {type ProcessIdentity, type RunObserver, type RunRequest, type RunningAgent, runFiles} from './executor.ts'
import {ageMs, isAlive} from './processes.ts'
import {superviseAgent} from './supervise-agent.ts'

export type AdoptOptions = {
  request: RunRequest
  observer: RunObserver
  clock: Clock
  /** What `spawned` told when the run was started. */
  root: ProcessIdentity
}

/** Not our child, so its end has to be looked for. */
const lookMs = 100

/**
 * Takes over a run that an earlier worker on this machine, since its last boot, has started. It may have ended
 * meanwhile: then it is judged by what it printed. Its deadlines go on from when it was started.
 */
export function adoptRun({request, observer, clock, root}: AdoptOptions): RunningAgent {
  const stop = new AbortController()
  const exited = (async () => {
    while (isAlive(root)) await clock.sleep(lookMs)
    return undefined
  })()
  const supervised = superviseAgent({
    request,
    observer,
    clock,
    root,
    exited,
    startedAt: clock.monotonic() - ageMs(root),
    printedAt: hasPrinted(request.runDir) ? clock.monotonic() : undefined,
    model: request.model,
    stop: stop.signal,
    spoolFrom: 0,
    stderrFrom: 0,
  })
  return {outcome: supervised.then(({outcome}) => outcome), stop: (reason) => stop.abort(reason)}
}

/** What is there will be read now, and counts as of now: when it was printed only the wall clock knows, which may be set. */
function hasPrinted(runDir: string): boolean {
  const spool = statSync(join(runDir, runFiles.stdout), {throwIfNoEntry: false})
  return spool !== undefined && spool.size > 0
}
