export type ServeFacts = {
  version: string
  /** Addresses for workers and clients, best first. */
  addresses: readonly string[]
  /** Other machines cannot reach the control plane. */
  isLocalOnly: boolean
  database: string
  /** Names and scopes of the tokens. None: no token is needed. */
  tokens: readonly {name: string; scope: string}[]
  tokensFile: string | undefined
}

/** Writes a new tokens file that only its user may read, and serves with it. */
export const createTokenCommand =
  '(umask 077; echo "me:$(openssl rand -hex 24)" > tokens) && a2a-worker serve --auth-tokens-file tokens'

const scopeText: Record<string, string> = {admin: 'everything', client: 'client', worker: 'worker', metrics: 'metrics'}

/** What the operator of a new control plane gives to workers and clients. Tokens themselves are not shown. */
export function serveGuide(facts: ServeFacts): string {
  const {version, addresses, isLocalOnly, database} = facts
  const [best = '', ...others] = addresses
  return [
    `Control plane ${version}, database ${database}`,
    `  workers  a2a-worker start --server ${best} --codebase PATH`,
    `  page     ${best}/${facts.tokens.length > 0 ? '  (log in with a token, or with: a2a-worker open)' : ''}`,
    `  clients  a2a-worker tasks create "…" --server ${best}`,
    ...(others.length > 0 ? [`  also at  ${others.join(', ')}`] : []),
    ...(isLocalOnly ? ['  others   only this machine can reach it; let others in with tokens and --host 0.0.0.0'] : []),
    ...tokenLines(facts),
  ].join('\n')
}

function tokenLines({tokens, tokensFile}: ServeFacts): string[] {
  if (tokens.length === 0) return ['  token    none is needed; to require one:', `           ${createTokenCommand}`]
  const names = tokens.map(({name, scope}) => `${name || 'without a name'} (${scopeText[scope] ?? scope})`)
  return [
    `  tokens   ${names.join(', ')}; in ${tokensFile ?? 'A2A_AUTH_TOKENS'}`,
    '           workers and clients give theirs as A2A_AUTH_TOKEN, or in a file: auth_token_file',
  ]
}
