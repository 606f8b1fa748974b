import {outsideFolders} from '../repository/outside-folders.ts'
import {accessProblems, type AccessProblem} from './codebase-access.ts'
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

/** The command that applies the configuration of a service to its unit. */
export const updateCommand = ({instance}: Layout): string =>
  `sudo a2a-worker install-service${instance === undefined ? '' : ` --name ${instance}`} --start`

/**
 * What keeps agents of an installed service from working in its codebases. Throws ExpectedError (77) if this user may not
 * read the configuration of the service.
 */
export async function serviceProblems(layout: Layout, machine: Machine): Promise<AccessProblem[]> {
  const envText = machine.read(layout.envFile) ?? ''
  const {config} = serviceSettings(layout, readConfig(machine, layout.configFile)?.content ?? {}, envText)
  const git = config.codebases.map(({path}) => outsideFolders(path))
  const needed = bindLines({layout, config, env: parseEnvFile(envText), openCode: undefined, git})
  const present = new Set((machine.read(dropInFile(layout)) ?? '').split('\n'))
  const hidden = needed.filter((line) => !present.has(line)).map(pathOf)
  const access = await Promise.all(config.codebases.map(({path}) => accessProblems(path, machine)))
  return [
    ...hidden.map((path) => ({
      text: `the service cannot write to ${path}, because its unit does not name it`,
      commands: [],
    })),
    ...access.flat(),
  ]
}

const pathOf = (line: string) => splitWords(line.slice(line.indexOf('=-') + 2)).join(' ')
