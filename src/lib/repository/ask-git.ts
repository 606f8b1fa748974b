import {execFile} from 'node:child_process'

export type GitAnswer = {code: number; stderr: string}

/** Where and how git is asked. `by`: words before the command, for example those that switch to another user. */
export type AskOptions = {cwd: string; env: NodeJS.ProcessEnv; by?: readonly string[] | undefined}

/** Runs git in a directory and resolves with how it ended. Undefined if git cannot be started there. */
export const askGit = (args: readonly string[], {cwd, env, by = []}: AskOptions): Promise<GitAnswer | undefined> =>
  new Promise((resolve) => {
    const [program = '', ...words] = [...by, 'git', ...args]
    execFile(program, words, {cwd, env, timeout: 10_000}, (error, _stdout, stderr) => {
      const code = error ? error.code : 0
      resolve(typeof code === 'number' ? {code, stderr} : undefined)
    })
  })

/** Whether git refuses to commit because it knows no author. */
export const lacksIdentity = ({code, stderr}: GitAnswer): boolean =>
  code !== 0 && /empty ident|no email was given|auto-detect|tell me who you are|no name was given/i.test(stderr)

/** The question to git that `lacksIdentity` understands the answer of. */
export const identityQuestion = ['var', 'GIT_COMMITTER_IDENT'] as const

/** What to do if git knows no author. */
export const identityFixes = [
  `Set git_identity in the configuration: "git_identity": "NAME <EMAIL>"`,
  'Or: git config --global user.name NAME && git config --global user.email EMAIL',
]
