import {join} from 'node:path'
import type {Environment} from '../config/file.ts'
import type {Config} from '../config/settings.ts'
import {readIfThere} from '../core/paths/read-if-there.ts'
import {realPathOf} from '../core/paths/real-path.ts'
import {withheldVariables} from '../opencode/program/withheld.ts'
import {identityQuestion, lacksIdentity} from '../repository/ask-git.ts'
import {findGitFolders} from '../repository/git-folders.ts'
import {userOfAgents, type ServiceProblem} from './codebase-access.ts'
import {homeOfAgents} from './units/agent-account.ts'
import type {Layout} from './machine/layout.ts'
import type {Machine} from './machine/machine.ts'
import {missingTools} from './tool-folders.ts'
import {servicePath} from './units/env-file.ts'

/** What decides what the agents of a service find. */
export type ServiceNeeds = {
  layout: Layout
  machine: Machine
  config: Config
  /** Variables in the environment file. */
  env: Readonly<Record<string, string>>
  /** The environment of the person who installs or checks the service. */
  person: Environment
}

/** What agents of a service of the machine lack that a person here has: keys, an author for commits, tools. */
export async function agentProblems(needs: ServiceNeeds): Promise<ServiceProblem[]> {
  return [...withheldProblem(needs), ...(await authorProblem(needs)), ...(await toolProblems(needs))]
}

function withheldProblem({config, env, layout}: ServiceNeeds): ServiceProblem[] {
  const names = withheldVariables(env, config.env_allow)
  if (names.length === 0) return []
  const text = `agents do not get ${names.join(', ')}, although ${layout.envFile} has it`
  return [{text, fixes: [`name it in env_allow in ${layout.configFile}`], isMinor: true}]
}

/** Asks git as the user of the agents, outside of the codebases, as a home may be closed to that user there. */
async function authorProblem({config, env, layout, machine}: ServiceNeeds): Promise<ServiceProblem[]> {
  if (config.git_identity !== undefined) return []
  const user = userOfAgents(config)
  const home = config.agent_user === undefined ? (env['HOME'] ?? layout.home) : homeOfAgents(config.agent_user)
  const ask = ['runuser', '-u', user, '--', 'env', `HOME=${home}`, 'git']
  if (!lacksIdentity(await machine.run([...ask, ...identityQuestion]))) return []
  const own = await Promise.all(config.codebases.map(({path}) => namesAuthor(path, machine)))
  const without = config.codebases.map(({path}) => path).filter((_, i) => own[i] === false)
  if (without.length === 0) return []
  return [
    {
      text: `git knows no author for the user ${user}, so agents cannot commit in ${without.join(', ')}`,
      fixes: [
        `add "git_identity": "NAME <EMAIL>" to ${layout.configFile}`,
        `sudo -u ${user} -H git config --global user.name NAME, and the same for user.email`,
      ],
      isMinor: true,
    },
  ]
}

/** Whether a repository names an author itself. Undefined if there is no repository. */
async function namesAuthor(path: string, machine: Machine): Promise<boolean | undefined> {
  const git = findGitFolders(realPathOf(path))
  if (!git) return undefined
  // An agent may have put a pipe in place of the file, for which git would wait.
  const input = readIfThere(join(git.common, 'config')) ?? ''
  return (await machine.run(['git', 'config', '--file', '-', 'user.email'], {input})).code === 0
}

async function toolProblems({env, person, machine, layout}: ServiceNeeds): Promise<ServiceProblem[]> {
  const name = layout.instance === undefined ? '' : ` --name ${layout.instance}`
  const missing = await missingTools({person, machine, path: env['PATH'] ?? servicePath})
  return missing.map(({folder, tools}) => ({
    text: `the service does not find ${tools.join(', ')} of ${folder}`,
    fixes: [`sudo a2a-worker install-service${name} --path ${folder}`],
    isMinor: true,
  }))
}
