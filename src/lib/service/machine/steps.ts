import {basename} from 'node:path'
import {grantCommand, type Grant} from './acl.ts'
import type {Owner} from './machine.ts'
import type {Program, ProgramPlace} from './program.ts'

/** One step of an installation. A step that is already applied is skipped. */
export type Step =
  | {kind: 'folder'; path: string; mode: number; owner: Owner}
  | {kind: 'file'; path: string; text: string; mode: number; owner: Owner}
  | {kind: 'move'; from: string; to: string}
  | {kind: 'remove'; path: string}
  /** Removes a folder only if it is empty. */
  | {kind: 'remove-empty'; path: string}
  | {kind: 'program'; program: Program; place: ProgramPlace}
  | {kind: 'verify'; files: {path: string; text: string}[]; scope: 'system' | 'user'}
  | {kind: 'grant'; grant: Grant}
  /** `mayFail`: the command also fails if it has nothing to do. */
  | {kind: 'run'; command: string[]; mayFail?: true}

/** Describes a step, starting with a verb: `write /etc/… (0600)`. */
export function describeStep(step: Step): string {
  switch (step.kind) {
    case 'folder':
      return `make ${step.path} (${octal(step.mode)})`
    case 'file':
      return `write ${step.path} (${octal(step.mode)})`
    case 'move':
      return `move ${step.from} to ${step.to}`
    case 'remove':
    case 'remove-empty':
      return `remove ${step.path}`
    case 'program':
      return `copy ${step.program.root} to ${step.place.app}, ${step.program.node} to ${step.place.node}`
    case 'verify':
      return `run systemd-analyze verify ${step.files.map(({path}) => basename(path)).join(' ')}`
    case 'grant':
      return `run ${grantCommand(step.grant).join(' ')}`
    case 'run':
      return `run ${step.command.join(' ')}`
  }
}

const octal = (mode: number) => mode.toString(8).padStart(4, '0')

/** The text of a file for a dry run. Secrets in a file that not everybody may read are masked. */
export function maskedText({text, mode}: {text: string; mode: number}): string {
  return (mode & 0o004) !== 0 ? text : text.replaceAll(secretInText, (_, start: string) => `${start}***`)
}

/** `"auth_token": "…"`, `A2A_AUTH_TOKEN=…`, and other names of secrets. */
const secretInText = /((?:\b|_)\w*(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|REDIS_URL)\w*(?:"\s*:\s*"|=(?!$)))[^"\n]+/gim
