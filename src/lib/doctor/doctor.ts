import type {ControlPlaneClient} from '../client/control-plane.ts'
import {messageOf} from '../core/errors.ts'
import type {Clock} from '../core/clock.ts'
import {problem, type Finding, type MachineContext, type ControlPlaneContext} from './finding.ts'
import {checkCodebases} from './codebase-checks.ts'
import {checkEnvironment, checkInit, checkOpenCode, checkState, checkWorker} from './machine-checks.ts'
import {checkQueue} from './queue-checks.ts'
import {checkStorage} from './storage-check.ts'
import {checkServices} from './service-checks.ts'
import {checkBroker, checkLists, checkServer} from './server-checks.ts'

export type DoctorOptions = {
  machine: MachineContext
  /** Creates a client with its own connections. Undefined if no server is known. */
  createClient: (() => ControlPlaneClient) | undefined
  clock: Clock
}

/**
 * Runs all checks, from this machine to the queue of the control plane, and returns what they found. A check changes
 * nothing except that it creates the state directory. Problems are findings, not exceptions.
 */
export async function runChecks({machine, createClient, clock}: DoctorOptions): Promise<Finding[]> {
  const findings = [
    ...(await runCheck('OpenCode', () => checkOpenCode(machine))),
    ...(await runCheck('environment', () => checkEnvironment(machine))),
    ...(await runCheck('state', () => checkState(machine))),
    ...(await runCheck('init', checkInit)),
    ...(await runCheck('sessions', () => checkStorage(machine))),
    ...(await runCheck('codebases', () => checkCodebases(machine))),
    ...(await runCheck('service', () => checkServices(machine))),
    ...(await runCheck('worker', () => checkWorker(machine))),
    ...(await runCheck('broker', () => checkBroker(machine))),
  ]
  await using client = createClient?.()
  const serverFindings = await runCheck('server', () => checkServer(machine, client))
  findings.push(...serverFindings)
  if (!client || !createClient || serverFindings.some(({state}) => state === 'problem')) return findings
  const context: ControlPlaneContext = {...machine, client, clock}
  findings.push(...(await runCheck('workers', () => checkLists(context, createClient))))
  findings.push(...(await runCheck('queue', () => checkQueue(context))))
  return findings
}

/** Turns an exception of a check into a finding. */
async function runCheck(check: string, step: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await step()
  } catch (error) {
    return [problem(check, `could not be checked: ${messageOf(error)}`)]
  }
}
