import {gitProblems} from '../../repository/git-problems.ts'
import type {RepositoryProblem} from '../../repository/folder-problems.ts'
import {askAsUser, wordsOfUser, type AgentUser} from './agent-user.ts'

/** What keeps agents from working in a codebase: its git, and for another user the codebase itself. */
export async function codebaseProblems(
  path: string,
  env: NodeJS.ProcessEnv,
  user: AgentUser | undefined,
): Promise<RepositoryProblem[]> {
  if (!user) return gitProblems(path, env)
  const {name} = user
  const may = (verb: 'read' | 'write', at: string) =>
    askAsUser(user, ['test', verb === 'write' ? '-w' : '-r', at]) !== undefined
  if (may('write', path)) return gitProblems(path, env, {name, uid: user.uid, words: wordsOfUser(user), may})
  const grant = `setfacl -R -m u:${name}:rwX -m d:u:${name}:rwX ${path}`
  return [{text: `the user ${name}, whom agents run as, cannot write to ${path}`, fixes: [grant]}]
}
