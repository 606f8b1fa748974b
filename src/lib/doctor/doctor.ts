import type {ControlPlaneClient} from '../client/control-plane.ts'
import {messageOf} from '../core/errors.ts'
import type {Clock} from '../core/clock.ts'
import {problem, type Finding, type MachineContext, type ControlPlaneContext} from './finding.ts'
import type {CheckLabel} from './checks.ts'
import {checkAgents} from './agent-checks.ts'
import {checkCodebases} from './codebase-checks.ts'
import {
  checkContainment,
  checkEnvironment,
  checkInit,
  checkOpenCode,
  checkState,
  checkWorker,
} from './machine-checks.ts'
import {checkHealthAddress} from './health-check.ts'
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
 * Runs all checks at the same time and yields what each one found, in a fixed order: from this machine to the queue of
 * the control plane, and OpenCode last, because it takes longest. A check changes nothing except that it creates the
 * state directory. Problems are findings, not exceptions.
 */
export async function* runChecks(options: DoctorOptions): AsyncGenerator<Finding[]> {
  const {machine} = options
  const checks = [
    runCheck('environment', () => checkEnvironment(machine)),
    runCheck('state', () => checkState(machine)),
    runCheck('init', checkInit),
    runCheck('runs', () => checkContainment(machine)),
    runCheck('sessions', () => checkStorage(machine)),
    runCheck('codebases', () => checkCodebases(machine)),
    runCheck('service', () => checkServices(machine)),
    runCheck('worker', () => checkWorker(machine)),
    runCheck('health', () => checkHealthAddress(machine)),
    runCheck('broker', () => checkBroker(machine)),
    runCheck('server', () => checkControlPlane(options)),
    runCheck('agents', () => checkAgents(machine)),
    runCheck('OpenCode', () => checkOpenCode(machine)),
  ]
  for (const check of checks) yield await check
}

/** The way to the control plane, and what it knows. Without an answer there is nothing more to check. */
async function checkControlPlane({machine, createClient, clock}: DoctorOptions): Promise<Finding[]> {
  await using client = createClient?.()
  const serverFindings = await runCheck('server', () => checkServer(machine, client))
  if (!client || !createClient || serverFindings.some(({state}) => state === 'problem')) return serverFindings
  const context: ControlPlaneContext = {...machine, client, clock}
  const [lists, queue] = await Promise.all([
    runCheck('workers', () => checkLists(context, createClient)),
    runCheck('queue', () => checkQueue(context)),
  ])
  return [...serverFindings, ...lists, ...queue]
}

/** Turns an exception of a check into a finding. */
async function runCheck(check: CheckLabel, step: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await step()
  } catch (error) {
    return [problem(check, `could not be checked: ${messageOf(error)}`)]
  }
}
