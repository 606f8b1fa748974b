import {configError} from '../core/errors.ts'
import {accessProblems, shellText, type AccessProblem} from './codebase-access.ts'
import type {Inspection} from './inspect-machine.ts'
import type {Layout} from './machine/layout.ts'
import type {Machine} from './machine/machine.ts'
import type {Step} from './machine/steps.ts'

type Settings = Pick<Inspection, 'settings'>

/** Commands that give the user of the service the rights it lacks. Throws ExpectedError (78) without setfacl. */
export async function grantSteps({settings}: Settings, machine: Machine): Promise<Step[]> {
  const problems = await codebaseProblems(settings, machine)
  const commands = problems.flatMap(({commands: mending}) => mending)
  if (commands.length > 0 && (await machine.run(['setfacl', '--version'])).code !== 0)
    throw configError('setfacl is not installed.', 'apt-get install acl')
  return commands.map((command): Step => ({kind: 'run', command}))
}

/** A warning for each codebase that agents could not work in, or would lock its owner out of. */
export async function codebaseWarnings(
  {settings}: Settings,
  {machine, layout, isDryRun}: {machine: Machine; layout: Layout; isDryRun: boolean},
): Promise<string[]> {
  if (settings.config.codebases.length === 0 && machine.isLive)
    return ['the service has no codebase yet; add one with --codebase NAME:PATH']
  if (!machine.isLive || layout.scope === 'user' || isDryRun) return []
  const problems = await codebaseProblems(settings, machine)
  return problems.map(({text, commands}) =>
    commands.length === 0 ? text : `${text}; run: ${commands.map(shellText).join(' && ')} (or give --grant)`,
  )
}

async function codebaseProblems({config}: Inspection['settings'], machine: Machine): Promise<AccessProblem[]> {
  const found = await Promise.all(config.codebases.map(({path}) => accessProblems(path, machine)))
  return found.flat()
}
