import {delimiter, isAbsolute, join} from 'node:path'
import {isExecutableFile} from '../opencode/program/locate.ts'
import {type AgentDefinition, agentDefinitions} from './definitions.ts'

/** An agent whose program is there. */
export type InstalledAgent = AgentDefinition & {binary: string}

/** The program of an agent, searched in PATH. A relative entry of PATH would mean another program in each codebase. */
export function findProgram(name: string, env: NodeJS.ProcessEnv): string | undefined {
  if (isAbsolute(name)) return isExecutableFile(name) ? name : undefined
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder.startsWith('/'))
  return folders.map((folder) => join(folder, name)).find((path) => isExecutableFile(path))
}

/** The agents besides OpenCode that can be used now, and those that are named in the setting but are not there. */
export function installedAgents(
  setting: unknown,
  env: NodeJS.ProcessEnv,
): {installed: InstalledAgent[]; missing: AgentDefinition[]} {
  const installed: InstalledAgent[] = []
  const missing: AgentDefinition[] = []
  const named = new Set(Object.keys((setting as object | undefined) ?? {}))
  for (const agent of agentDefinitions(setting)) {
    const binary = findProgram(agent.command[0], env)
    if (binary !== undefined) installed.push({...agent, binary})
    else if (named.has(agent.name)) missing.push(agent)
  }
  return {installed, missing}
}

/** The variables that some agent may see: OpenCode those of `env_allow`, and the installed ones their own, too. */
export const allowedVariables = (setting: unknown, env: NodeJS.ProcessEnv, allow: readonly string[]): string[] => [
  ...allow,
  ...installedAgents(setting, env).installed.flatMap(({envAllow}) => envAllow),
]
