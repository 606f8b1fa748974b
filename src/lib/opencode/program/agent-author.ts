import {identityVariables} from '../../config/git-identity.ts'
import {wordsOfUser, type AgentUser} from './agent-user.ts'
import {askGit, identityQuestion} from '../../repository/ask-git.ts'

/**
 * The variables that give an agent the author of the setting, if git knows none in its directory. They would override the
 * author of the repository or of the user, so git is asked first, which takes 3 ms. What git guesses from the names of
 * user and host does not count.
 */
export async function agentAuthor(
  identity: string | undefined,
  {cwd, env, user}: {cwd: string; env: Readonly<Record<string, string>>; user: AgentUser | undefined},
): Promise<Record<string, string>> {
  if (identity === undefined) return {}
  const answer = await askGit(['-c', 'user.useConfigOnly=true', ...identityQuestion], {cwd, env, by: wordsOfUser(user)})
  return answer?.code === 0 ? {} : identityVariables(identity)
}
