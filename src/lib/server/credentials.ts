import {readPrivateText} from '../config/token.ts'
import {configError, messageOf} from '../core/errors.ts'
import {hashToken, parseTokens, type HashedToken, type Token} from './http/auth.ts'
import {readTls, type TlsFiles} from './http/tls.ts'

/** Where the tokens and the certificate of a control plane come from. Files are read again at each reload. */
export type CredentialSources = {
  /** Tokens in addition to those of the file. */
  tokens?: readonly HashedToken[]
  /** Contains one token per line, in the form of A2A_AUTH_TOKENS. */
  tokensFile?: string
  tls?: TlsFiles
}

export type Credentials = {tokens: HashedToken[]; tls: ReturnType<typeof readTls> | undefined}

/** Reads all files, so that one bad file changes nothing. Throws ExpectedError (78) that names it. */
export const readCredentials = ({tokens = [], tokensFile, tls}: CredentialSources): Credentials => ({
  tokens: [...tokens, ...(tokensFile === undefined ? [] : readTokens(tokensFile).map(hashToken))],
  tls: tls && readTls(tls),
})

const form = 'Write one line per token: name:token, name/client:token or name/worker=ID:token.'

function readTokens(path: string): Token[] {
  const lines = readPrivateText(path, 'tokens', '--auth-tokens-file').split('\n')
  const text = lines.filter((line) => !line.trimStart().startsWith('#')).join(',')
  let tokens: Token[]
  try {
    tokens = parseTokens(text)
  } catch (error) {
    throw configError(`The tokens file ${path} is bad: ${messageOf(error)}.`, form)
  }

  if (tokens.length > 0) return tokens
  throw configError(`The tokens file ${path} contains no token.`, form)
}
