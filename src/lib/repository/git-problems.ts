import {statSync} from 'node:fs'
import {realPathOf} from '../core/paths/real-path.ts'
import {askGit, identityFixes, identityQuestion, lacksIdentity} from './ask-git.ts'
import {folderProblems, type OtherUser, type RepositoryProblem} from './folder-problems.ts'
import {findGitFolders, type GitFolders} from './git-folders.ts'

/**
 * What keeps git of agents from working in a codebase. `env` is the agent's environment. `user` is their user, if it is
 * another than that of this process.
 */
export async function gitProblems(
  path: string,
  env: NodeJS.ProcessEnv,
  user?: OtherUser,
): Promise<RepositoryProblem[]> {
  if (!statSync(path, {throwIfNoEntry: false})?.isDirectory()) return []
  return [...folderProblems(path, user), ...(await ownershipProblem(path, env, user))]
}

/** Git works only in a repository of its own user, unless it is named in its configuration. */
async function ownershipProblem(
  path: string,
  env: NodeJS.ProcessEnv,
  user: OtherUser | undefined,
): Promise<RepositoryProblem[]> {
  const git = findGitFolders(realPathOf(path))
  // This costs no process in a repository of this user.
  if (!git || !hasOtherOwner(git, user?.uid ?? process.getuid?.())) return []
  const answer = await askGit(['rev-parse', '--git-dir'], {cwd: path, env, by: user?.words})
  if (!answer || !answer.stderr.includes('dubious ownership')) return []
  const text = `git refuses to work in ${git.top}, because it belongs to another user (uid ${statSync(git.top).uid})`
  return [{text, fixes: [`git config --global --add safe.directory ${git.top}`, `Or: chown -R "$(id -u)" ${git.top}`]}]
}

const hasOtherOwner = ({top, own}: GitFolders, uid: number | undefined) =>
  [top, own].some((folder) => {
    const stat = statSync(folder, {throwIfNoEntry: false})
    return stat !== undefined && stat.uid !== uid
  })

/** Git knows no author, so that it refuses to commit. */
export async function identityProblem(path: string, env: NodeJS.ProcessEnv): Promise<RepositoryProblem[]> {
  if (!findGitFolders(realPathOf(path))) return []
  const answer = await askGit(identityQuestion, {cwd: path, env})
  if (!answer || !lacksIdentity(answer)) return []
  return [{text: `git knows no author in ${path}: commits fail`, fixes: identityFixes}]
}
