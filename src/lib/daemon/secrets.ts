import {join} from 'node:path'
import type {Environment} from '../config/file.ts'
import {proxyPasswords} from '../config/proxy.ts'
import type {Config} from '../config/settings.ts'
import {passwordsIn, secretName} from '../core/redaction/secret-names.ts'
import {readAsUser, type AgentUser} from '../opencode/program/agent-user.ts'
import {isPassed} from '../opencode/program/environment.ts'
import {dataDirectory} from '../opencode/program/local-opencode.ts'
import {parseJson} from '../protocol/parse.ts'

type Source = {
  env: Environment
  config: Pick<Config, 'env_allow' | 'proxy' | 'health_token'>
  /** The user that agents run as, if it is another one. `env` is the environment that it has. */
  user?: AgentUser | undefined
  /** All tokens for the control plane used so far. */
  tokens: Iterable<string>
}

/** Fields of OpenCode's auth.json that hold keys, at any depth. */
const keyField = /^(?:key|access|refresh|token)$/
const maxDepth = 5

/**
 * Values that must not leave the machine: the tokens, the passwords of proxies and of other URLs, the variables that
 * agents get and that are named like secrets, and the logins of OpenCode. Agents can read most of them, and may print
 * them. Read again at each reload.
 */
export function collectSecrets({env, config, user, tokens}: Source): string[] {
  const seen = Object.entries(env).filter(([name, value]) => Boolean(value) && isPassed(name, config.env_allow))
  return [
    ...tokens,
    ...(config.health_token === undefined ? [] : [config.health_token]),
    ...proxyPasswords(config.proxy, env),
    ...seen.flatMap(([name, value = '']) => (secretName.test(name) ? [value] : passwordsIn(value))),
    ...keysIn(parseJson(readAsUser(user, join(dataDirectory(env), 'auth.json')) ?? '')),
  ]
}

function keysIn(value: unknown, depth = 0): string[] {
  if (typeof value !== 'object' || value === null || depth > maxDepth) return []
  return Object.entries(value).flatMap(([name, inner]) =>
    typeof inner === 'string' ? (keyField.test(name) && inner !== '' ? [inner] : []) : keysIn(inner, depth + 1),
  )
}
