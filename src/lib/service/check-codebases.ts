import {isHidden} from './units/drop-in.ts'
import type {Inspection} from './inspect-machine.ts'
import {serviceUser, type Layout} from './machine/layout.ts'
import type {Machine} from './machine/machine.ts'

/** Returns a problem for each codebase that the user of the service cannot work in. */
export async function checkCodebases(
  {settings}: Pick<Inspection, 'settings'>,
  {machine, layout, isDryRun}: {machine: Machine; layout: Layout; isDryRun: boolean},
): Promise<string[]> {
  const paths = settings.config.codebases.map(({path}) => path)
  if (paths.length === 0 && machine.isLive)
    return ['the service has no codebase yet; add one with --codebase NAME:PATH']
  if (!machine.isLive || layout.scope === 'user' || isDryRun) return []
  const problems = await Promise.all(paths.map((path) => codebaseProblem(path, machine)))
  return problems.filter((problem) => problem !== undefined)
}

async function codebaseProblem(path: string, machine: Machine): Promise<string | undefined> {
  if (!machine.exists(path)) return `the codebase ${path} does not exist`
  // The sandbox opens the way through a home directory, so only the rights on the codebase itself count there.
  const test = isHidden(path) ? {words: ['test', '-w', '.'], cwd: path} : {words: ['test', '-w', path], cwd: '/'}
  const {code} = await machine.run(['runuser', '-u', serviceUser, '--', ...test.words], {cwd: test.cwd})
  if (code === 0) return undefined
  return `the user ${serviceUser} cannot write to ${path}; run: setfacl -R -m u:${serviceUser}:rwX -m d:u:${serviceUser}:rwX ${path}`
}
