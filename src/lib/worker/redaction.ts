import {createRedactor, type Redactor} from '../core/redaction/redact.ts'
import type {WorkerOptions} from './worker-options.ts'

/** Removes secrets from the output of runs. */
export type Redaction = {
  /** The current redactor, or undefined if there is nothing to redact: output is then sent byte by byte. */
  current: () => Redactor | undefined
  secrets: () => readonly string[]
  /** Builds the redactor again after the token or the patterns have changed. */
  renew: () => void
}

export function runRedaction({config, secrets: otherSecrets}: Pick<WorkerOptions, 'config' | 'secrets'>): Redaction {
  const secrets = () => [...otherSecrets(), ...(config.auth_token ? [config.auth_token] : [])]
  let redactor = redactorFor(secrets(), config.redact)
  return {
    current: () => redactor,
    secrets,
    renew: () => (redactor = redactorFor(secrets(), config.redact)),
  }
}

const redactorFor = (secrets: readonly string[], patterns: readonly string[]) =>
  secrets.length + patterns.length === 0
    ? undefined
    : createRedactor(
        secrets,
        patterns.map((pattern) => new RegExp(pattern, 'u')),
      )
