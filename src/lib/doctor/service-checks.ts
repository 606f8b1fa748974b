import {ExpectedError} from '../core/errors.ts'
import {installedServices, serviceProblems} from '../service/installed-services.ts'
import {Machine} from '../service/machine/machine.ts'
import {ok, problem, skipped, warning, type Finding, type MachineContext} from './finding.ts'

/** Checks for each service of this machine that its agents can work in its codebases, and that their owners still can. */
export async function checkServices({env}: Pick<MachineContext, 'env'>): Promise<Finding[]> {
  const machine = new Machine({env})
  const services = installedServices(machine)
  return (
    await Promise.all(
      services.map(async (layout) => {
        const check = `service ${layout.unit}` as const
        try {
          const found = await serviceProblems(layout, machine, env)
          if (found.length === 0) return [ok(check, 'its agents can work in its codebases')]
          return found.map(({text, fixes, isMinor}) => (isMinor ? warning : problem)(check, text, ...fixes))
        } catch (error) {
          if (!(error instanceof ExpectedError) || error.code !== 'CANNOT_READ') throw error
          return [skipped(check, 'its codebases are checked only for root')]
        }
      }),
    )
  ).flat()
}
