import {accessSync, constants} from 'node:fs'
import type {ConfiguredCodebase} from '../config/settings.ts'
import {agentEnvironment} from '../opencode/program/environment.ts'
import {dataDirectory} from '../opencode/program/local-opencode.ts'
import {codebaseProblems} from '../opencode/program/codebase-problems.ts'
import {environmentOfUser, findAgentUser, mayBecome, type AgentUser} from '../opencode/program/agent-user.ts'
import {identityProblem} from '../repository/git-problems.ts'
import {serviceCodebases} from '../service/installed-services.ts'
import {Machine} from '../service/machine/machine.ts'
import {findGitLocks} from '../worker/locks/git-locks.ts'
import {directoryProblem} from '../worker/registration/directory-problem.ts'
import type {CheckLabel} from './checks.ts'
import {ok, problem, skipped, warning, type Finding, type MachineContext} from './finding.ts'

/** Checks that the configured codebases exist, and that this user and its git may work in them. */
export async function checkCodebases(machine: MachineContext): Promise<Finding[]> {
  const {codebases} = machine.config
  if (codebases.length === 0) return [skipped('codebases', 'none is configured')]
  const homes = serviceCodebases(new Machine({env: machine.env}))
  const all = codebases.map((codebase) => checkCodebase(codebase, machine, homes.get(codebase.path)))
  return (await Promise.all(all)).flat()
}

async function checkCodebase(
  {name, path}: ConfiguredCodebase,
  {config, env: own}: MachineContext,
  serviceHome: string | undefined,
): Promise<Finding[]> {
  const check = `codebase ${name}` as const
  const user = findAgentUser(config.agent_user)
  const wrong = accessFinding(check, path, user)
  if (wrong) return [wrong]
  const base = environmentOfUser(own, user)
  const dataDir = dataDirectory(serviceHome === undefined ? base : {HOME: serviceHome})
  const locks = lockFindings(check, {path, dataDir})
  // What the git of a service needs is checked with the service.
  if (serviceHome !== undefined) return locks.length > 0 ? locks : [ok(check, path)]
  if (user && !mayBecome(user))
    return [skipped(check, `what agents may do in ${path} as ${user.name} is checked only for root`), ...locks]
  const {env_allow: allow, permissions, git_identity: gitIdentity} = config
  const env = agentEnvironment({base, cwd: path, tmpDir: path, marker: 'probe', allow, permissions, gitIdentity})
  const found = [
    ...(await codebaseProblems(path, env, user)).map(({text, fixes}) => problem(check, text, ...fixes)),
    ...(await identityProblem(path, env)).map(({text, fixes}) => warning(check, text, ...fixes)),
    ...locks,
  ]
  return found.length > 0 ? found : [ok(check, path)]
}

/** With a user of their own, it is the rights of the agents that count. */
function accessFinding(check: CheckLabel, path: string, user: AgentUser | undefined): Finding | undefined {
  const wrong = directoryProblem(path)
  if (wrong !== undefined)
    return problem(check, `${path}: ${wrong}`, `ls -la ${path}`, 'Correct the path in the configuration.')
  if (user) return undefined
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
    return undefined
  } catch {
    return problem(
      check,
      `this user cannot read and write ${path}`,
      `setfacl -R -m u:"$(id -un)":rwX -m d:u:"$(id -un)":rwX -m u:"$(stat -c %U ${path})":rwX -m d:u:"$(stat -c %U ${path})":rwX ${path}`,
      `Or add the user to the group of the directory: usermod -a -G "$(stat -c %G ${path})" "$(id -un)"`,
    )
  }
}

/** A lock of git that is older than this was probably left by a process that was killed. */
const staleLockMs = 60_000

const lockFindings = (check: CheckLabel, place: {path: string; dataDir: string}): Finding[] =>
  findGitLocks(place)
    .filter(({changedAt}) => Date.now() - changedAt > staleLockMs)
    .map(({path, changedAt}) =>
      warning(
        check,
        `git can write nothing in ${place.path}: ${path} is there since ${new Date(changedAt).toISOString()}`,
        `If no git is at work there (an editor may wait for a commit message): rm ${path}`,
      ),
    )
