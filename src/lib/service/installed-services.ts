import type {Environment} from '../config/file.ts'
import {ExpectedError} from '../core/errors.ts'
import {outsideFolders} from '../repository/outside-folders.ts'
import {agentProblems, type ServiceNeeds} from './agent-needs.ts'
import {accessProblems, userOfAgents, type ServiceProblem} from './codebase-access.ts'
import {dropInFile, systemLayout, type Layout} from './machine/layout.ts'
import type {Machine} from './machine/machine.ts'
import {bindLines} from './units/drop-in.ts'
import {parseEnvFile} from './units/env-file.ts'
import {readConfig, serviceSettings} from './units/service-config.ts'
import {splitWords} from './units/unit-quoting.ts'
import {fileHeader} from './units/units.ts'

/** The services of the machine that `install-service` has written. */
export function installedServices(machine: Machine): Layout[] {
  const {unit: base, unitDir} = systemLayout()
  return machine.list(unitDir).flatMap((name) => {
    const isUnit = name.startsWith(base) && name.endsWith('.service') && !name.endsWith('-agents.service')
    if (!isUnit || !machine.read(`${unitDir}/${name}`)?.startsWith(fileHeader)) return []
    return [systemLayout(name.slice(base.length + 1, -'.service'.length) || undefined)]
  })
}

/** The codebases of installed services, as far as this user may read which, with the home of the service. */
export function serviceCodebases(machine: Machine): Map<string, string> {
  const homes = installedServices(machine).flatMap((layout) => {
    try {
      const content = readConfig(machine, layout.configFile)?.content ?? {}
      const {codebases} = serviceSettings(layout, content, '').config
      return codebases.map(({path}) => [path, layout.home] as const)
    } catch (error) {
      if (error instanceof ExpectedError) return []
      throw error
    }
  })
  return new Map(homes)
}

/** The command that applies the configuration of a service to its unit. */
export const updateCommand = ({instance}: Layout): string =>
  `sudo a2a-worker install-service${instance === undefined ? '' : ` --name ${instance}`} --start`

/**
 * What keeps agents of an installed service from working in its codebases. `person` is the environment of the caller, who
 * may have tools that the service lacks. Throws ExpectedError (77) if this user may not read the configuration.
 */
export async function serviceProblems(
  layout: Layout,
  machine: Machine,
  person: Environment,
): Promise<ServiceProblem[]> {
  const env = parseEnvFile(machine.read(layout.envFile) ?? '')
  const content = readConfig(machine, layout.configFile)?.content ?? {}
  const {config} = serviceSettings(layout, content, machine.read(layout.envFile) ?? '')
  return [
    ...hiddenProblems(layout, machine, {config, env}),
    ...(await workProblems({layout, machine, config, env, person})),
  ]
}

/** What keeps agents from working, whatever the unit says. */
export async function workProblems(needs: ServiceNeeds): Promise<ServiceProblem[]> {
  const {config, machine} = needs
  const access = await Promise.all(
    config.codebases.map(({path}) => accessProblems(path, userOfAgents(config), machine)),
  )
  return [...access.flat(), ...(await agentProblems(needs))]
}

/** Folders that the unit should open for the service and does not. */
function hiddenProblems(
  layout: Layout,
  machine: Machine,
  {config, env}: Pick<ServiceNeeds, 'config' | 'env'>,
): ServiceProblem[] {
  const git = config.codebases.map(({path}) => outsideFolders(path))
  const present = new Set((machine.read(dropInFile(layout)) ?? '').split('\n'))
  return bindLines({layout, config, env, openCode: undefined, git})
    .filter((line) => !present.has(line))
    .map((line) => ({
      text: `the service does not see ${pathOf(line)}, because its unit does not name it`,
      fixes: [updateCommand(layout)],
    }))
}

const pathOf = (line: string) => splitWords(line.slice(line.indexOf('=-') + 2)).join(' ')
