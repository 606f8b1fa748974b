import {bootSystemd, insideProgram, type PrivateSystemd} from './boot.ts'
import {startFleet} from '../fleet.ts'
import {until} from '../scratch.ts'

/** Generous, because many processes start here and the machine may be busy. */
export const timeoutMs = 90_000

/** The pause between two questions to systemd, as each starts nsenter and systemctl. */
export const pauseMs = 200

export const unit = 'a2a-agent-worker'

/** A private systemd, a control plane outside of it, and helpers for both. */
export async function startPrivateMachine() {
  const [systemd, fleet] = await Promise.all([bootSystemd(), startFleet({isPlaneProcess: true})])
  const controls = (run: PrivateSystemd['run'], ...scope: string[]) => {
    const systemctl = async (...args: string[]) => (await run(['systemctl', ...scope, ...args])).stdout.trim()
    const property = (name: string) => systemctl('show', '--value', `--property=${name}`, unit)
    return {
      program: (...args: string[]) => run([...insideProgram, ...args]),
      systemctl,
      property,
      log: async () => (await run(['journalctl', '--no-pager', ...scope, '--unit', unit])).stdout,
      /** Waits for a ready worker with another pid. */
      started: (before: string) =>
        until(
          async () => {
            const [state, pid] = await Promise.all([property('ActiveState'), property('MainPID')])
            return state === 'active' && pid !== before && pid
          },
          'the next worker',
          timeoutMs,
          pauseMs,
        ),
    }
  }
  return {
    systemd,
    fleet,
    /** Runs a command as root against the system manager. */
    ...controls(systemd.run),
    /** Runs a command as another user against that user's manager. */
    as: (by: readonly string[], env: Record<string, string>) =>
      controls((command) => systemd.run([...by, ...command], env), '--user'),
    codebaseId: (path: string) => until(() => fleet.codebaseId(path), `${path} to be registered`, timeoutMs),
    async [Symbol.asyncDispose]() {
      await systemd[Symbol.asyncDispose]()
      await fleet[Symbol.asyncDispose]()
    },
  }
}

/** Prints that tests were skipped, and why. */
export function reportSkipped(what: string, problem: string | undefined): boolean {
  if (problem !== undefined) process.stderr.write(`SKIPPED: ${what}; ${problem}.\n`)
  return problem !== undefined
}
