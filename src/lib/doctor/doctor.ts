import type {ControlPlaneClient} from '../client/control-plane.ts'
import {messageOf} from '../core/errors.ts'
import type {Clock} from '../core/clock.ts'
import {problem, type Finding, type Machine, type Plane} from './finding.ts'
import {checkCodebases, checkOpenCode, checkState, checkWorker} from './machine-checks.ts'
import {checkQueue} from './queue-checks.ts'
import {checkBroker, checkLists, checkReach} from './server-checks.ts'

export type Examination = {
  machine: Machine
  /** A client on connections of its own; undefined where no server is known. */
  open: (() => ControlPlaneClient) | undefined
  clock: Clock
}

/**
 * Looks at every hop between this machine and a task that is done, and says of each what is wrong and what to do. No
 * check changes anything but the state directory, which it makes. Never throws for what it finds.
 */
export async function examine({machine, open, clock}: Examination): Promise<Finding[]> {
  const findings = [
    ...(await look('OpenCode', () => checkOpenCode(machine))),
    ...(await look('state', () => checkState(machine))),
    ...(await look('codebases', () => checkCodebases(machine))),
    ...(await look('worker', () => checkWorker(machine))),
    ...(await look('broker', () => checkBroker(machine))),
  ]
  await using client = open?.()
  const reach = await look('server', () => checkReach(machine, client))
  findings.push(...reach)
  if (!client || !open || reach.some(({state}) => state === 'problem')) return findings
  const plane: Plane = {...machine, client, clock}
  findings.push(...(await look('workers', () => checkLists(plane, open))))
  findings.push(...(await look('queue', () => checkQueue(plane))))
  return findings
}

/** A check that itself fails is a finding, not the end of the examination. */
async function look(check: string, step: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await step()
  } catch (error) {
    return [problem(check, `could not be checked: ${messageOf(error)}`)]
  }
}
