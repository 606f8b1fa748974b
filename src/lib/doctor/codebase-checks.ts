import {accessSync, constants} from 'node:fs'
import {dataDirectory} from '../opencode/program/local-opencode.ts'
import {folderProblems} from '../repository/folder-problems.ts'
import {findGitLocks} from '../worker/locks/git-locks.ts'
import {directoryProblem} from '../worker/registration/directory-problem.ts'
import {ok, problem, skipped, warning, type Finding, type MachineContext} from './finding.ts'

/** Checks that the configured codebases exist, and that this user and its git may work in them. */
export async function checkCodebases({config, env}: MachineContext): Promise<Finding[]> {
  if (config.codebases.length === 0) return [skipped('codebases', 'none is configured')]
  return config.codebases.flatMap(({name, path}) => {
    const check = `codebase ${name}`
    const wrong = accessFinding(check, path)
    if (wrong) return [wrong]
    const found = [
      ...folderProblems(path).map(({text, fixes}) => problem(check, `${path}: ${text}`, ...fixes)),
      ...lockFindings(check, {path, dataDir: dataDirectory(env)}),
    ]
    return found.length > 0 ? found : [ok(check, path)]
  })
}

function accessFinding(check: string, path: string): Finding | undefined {
  const wrong = directoryProblem(path)
  if (wrong !== undefined)
    return problem(check, `${path}: ${wrong}`, `ls -la ${path}`, 'Correct the path in the configuration.')
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

const lockFindings = (check: string, place: {path: string; dataDir: string}): Finding[] =>
  findGitLocks(place)
    .filter(({changedAt}) => Date.now() - changedAt > staleLockMs)
    .map(({path, changedAt}) =>
      warning(
        check,
        `git can write nothing in ${place.path}: ${path} is there since ${new Date(changedAt).toISOString()}`,
        `If no git is at work there (an editor may wait for a commit message): rm ${path}`,
      ),
    )
