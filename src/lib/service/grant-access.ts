import {configError} from '../core/errors.ts'
import {accessProblems, userOfAgents, type ServiceProblem} from './codebase-access.ts'
import type {Inspection} from './inspect-machine.ts'
import type {Machine} from './machine/machine.ts'
import type {Step} from './machine/steps.ts'

/** Steps that give the user of the service the rights it lacks. Throws ExpectedError (78) without setfacl. */
export async function grantSteps({settings}: Pick<Inspection, 'settings'>, machine: Machine): Promise<Step[]> {
  const {codebases} = settings.config
  const user = userOfAgents(settings.config)
  const problems = (await Promise.all(codebases.map(({path}) => accessProblems(path, user, machine)))).flat()
  const grants = problems.flatMap(({grant}) => (grant ? [grant] : []))
  if (grants.length > 0 && (await machine.run(['setfacl', '--version'])).code !== 0)
    throw configError('setfacl is not installed.', 'apt-get install acl')
  return grants.map((grant): Step => ({kind: 'grant', grant}))
}

/** A problem as one line of a warning. */
export const warningText = ({text, fixes, grant}: ServiceProblem): string =>
  grant ? `${text}; run: ${fixes[0]} (or give --grant)` : `${text}; ${fixes[0]}`
