import {bootSystemd, insideProgram, type PrivateSystemd} from './boot.ts'
import {startFleet} from '../fleet.ts'
import {until} from '../scratch.ts'

/** Much is started here, and the machine may have other things to do. */
export const patienceMs = 90_000

/** Between two questions to systemd: each is a start of nsenter and systemctl. */
export const pauseMs = 200

export const unit = 'a2a-agent-worker'

/** A private systemd, a control plane outside of it, and what the tests of the service ask of both. */
export async function inhabit() {
  const [systemd, fleet] = await Promise.all([bootSystemd(), startFleet({isPlaneProcess: true})])
  const about = (run: PrivateSystemd['run'], ...scope: string[]) => {
    const systemctl = async (...args: string[]) => (await run(['systemctl', ...scope, ...args])).stdout.trim()
    const property = (name: string) => systemctl('show', '--value', `--property=${name}`, unit)
    return {
      program: (...args: string[]) => run([...insideProgram, ...args]),
      systemctl,
      property,
      log: async () => (await run(['journalctl', '--no-pager', ...scope, '--unit', unit])).stdout,
      /** Waits for a worker that is ready and has another pid. */
      started: (before: string) =>
        until(
          async () => {
            const [state, pid] = await Promise.all([property('ActiveState'), property('MainPID')])
            return state === 'active' && pid !== before && pid
          },
          'the next worker',
          patienceMs,
          pauseMs,
        ),
    }
  }
  return {
    systemd,
    fleet,
    /** As root, about the systemd of the machine. */
    ...about(systemd.run),
    /** As somebody else, about the systemd of that user. */
    as: (by: readonly string[], env: Record<string, string>) =>
      about((command) => systemd.run([...by, ...command], env), '--user'),
    codebaseId: (path: string) => until(() => fleet.codebaseId(path), `${path} to be registered`, patienceMs),
    async [Symbol.asyncDispose]() {
      await systemd[Symbol.asyncDispose]()
      await fleet[Symbol.asyncDispose]()
    },
  }
}

/** Says aloud that tests were left out, and why. */
export function sayIfSkipped(what: string, problem: string | undefined): boolean {
  if (problem !== undefined) process.stderr.write(`SKIPPED: ${what}; ${problem}.\n`)
  return problem !== undefined
}
