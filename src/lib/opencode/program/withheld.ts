import {isPassed} from './environment.ts'

/** Names of variables that agents usually need: keys of model providers, logins of forges, and the agent of SSH. */
const usual =
  /(?:^|_)API_?KEY$|_API_TOKEN$|^(?:AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|PROFILE|BEARER_TOKEN_BEDROCK)|GOOGLE_APPLICATION_CREDENTIALS|(?:GH|GITHUB|GITLAB|HF|COPILOT)_TOKEN|SSH_AUTH_SOCK)$/

/** Variables that the worker has and its agents do not get, although agents usually need them. */
export const withheldVariables = (env: NodeJS.ProcessEnv, allow: readonly string[]): string[] =>
  Object.keys(env)
    .filter((name) => usual.test(name) && env[name] && !isPassed(name, allow))
    .sort()

/** What to do about withheld variables. */
export const allowHint = 'to give them to agents, name them in the setting env_allow'
