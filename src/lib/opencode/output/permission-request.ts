import {withoutEscapes} from '../../core/text/escapes.ts'

export type PermissionRequest = {
  what: string
  /** OpenCode has rejected it by itself. */
  isRejected: boolean
}

const request = /permission requested: (.+?)(; auto-rejecting.*)?$/

/** The last permission request on stderr. */
export const lastRequest = (stderr: string): PermissionRequest | undefined =>
  linesOf(stderr).map(parse).findLast(Boolean)

/** The permission request that is open: it is the last line on stderr. */
export const openRequest = (stderr: string): PermissionRequest | undefined => parse(linesOf(stderr).at(-1) ?? '')

export const explainPermission = (what: string): string =>
  `stopped by a permission that nobody could give: ${what}; allow or deny it in the setting \`permissions\``

const linesOf = (stderr: string) => withoutEscapes(stderr).trimEnd().split('\n')

function parse(line: string): PermissionRequest | undefined {
  const [, what, rejected] = request.exec(line.trimEnd()) ?? []
  return what === undefined ? undefined : {what, isRejected: rejected !== undefined}
}
