import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {root} from '../cli.ts'

type Flag = {name: string; char?: string; aliases?: string[]}

/** The manifest of oclif, which lists all commands with their flags. */
export const manifest = JSON.parse(readFileSync(join(root, 'oclif.manifest.json'), 'utf8')) as {
  commands: Record<string, {flags: Record<string, Flag>}>
}
