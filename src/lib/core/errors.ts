/** Exit codes, as documented in docs/reference.md. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  cancelled: 3,
  unreachable: 69,
  bug: 70,
  cannotWrite: 73,
  temporary: 75,
  refused: 77,
  config: 78,
  interrupted: 130,
} as const

export type ExitName = keyof typeof exitCodes

/** What each exit code means, for docs/reference.md. */
export const exitMeanings: Record<ExitName, string> = {
  ok: 'success; the task completed',
  failed: 'the task failed, or a check found a problem',
  usage: 'bad usage',
  cancelled: 'the task was cancelled',
  unreachable: 'the server cannot be reached',
  bug: 'a bug in a2a-worker',
  cannotWrite: 'cannot write',
  temporary: 'timed out, or try again later',
  refused: 'refused: token or policy',
  config: 'bad configuration',
  interrupted: 'interrupted',
}

export type ErrorDetails = {
  /** Stable machine-readable name, upper snake case. */
  code: string
  exit: ExitName
  /** What the user can do about it, best first. */
  suggestions?: string[]
  cause?: unknown
  /** Whether the cause lies with this machine and not with the task: see `isMachineFault`. */
  isMachineFault?: boolean
}

/**
 * A foreseen failure: a clear message, an exit code, and suggestions. It has the shape that oclif reads (`oclif.exit`,
 * `exitCode`, `suggestions`), so the library can throw it without knowing oclif.
 */
export class ExpectedError extends Error {
  readonly code: string
  readonly exitCode: number
  readonly oclif: {exit: number}
  readonly suggestions: string[]
  readonly isMachineFault: boolean | undefined

  constructor(message: string, {code, exit, suggestions = [], cause, isMachineFault}: ErrorDetails) {
    super(message, {cause})
    this.name = 'ExpectedError'
    this.code = code
    this.exitCode = exitCodes[exit]
    this.oclif = {exit: this.exitCode}
    this.suggestions = suggestions
    this.isMachineFault = isMachineFault
  }

  /** Sets the cause. */
  because(cause: unknown): this {
    this.cause = cause
    return this
  }
}

/** Bad usage of a command: exit 2. */
export const usageError = (message: string, ...suggestions: string[]) =>
  new ExpectedError(message, {code: 'USAGE', exit: 'usage', suggestions})

/** Configuration that cannot be used: exit 78. */
export const configError = (message: string, ...suggestions: string[]) =>
  new ExpectedError(message, {code: 'CONFIG', exit: 'config', suggestions})

/** The first line of the message of anything that was thrown. Never empty. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '' && error.errors.length > 0)
    return messageOf(error.errors[0])
  const text = error instanceof Error ? error.message || error.name : String(error)
  return text.split('\n')[0] ?? text
}

/** The `code` of a system error (`ENOENT`, …), also when it is wrapped as a cause or in an AggregateError. */
export function errorCode(error: unknown): string | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const code = (at as {code?: unknown}).code
    if (typeof code === 'string') return code
    if (at instanceof AggregateError && at.errors.length > 0) return errorCode(at.errors[0])
  }

  return undefined
}

/** For the `default` of a switch over a union: a forgotten case is a compile error. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value: ${JSON.stringify(value)}`)
}
