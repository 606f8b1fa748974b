import {globSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {root} from '../cli.ts'
import {manifest} from './manifest.ts'

/** Flags of other programs that pages name alone, and whose they are. */
const foreignFlags = new Set([
  '--standalone', // opencode run, version 2
  '--init', // docker run
  '--build-arg', // docker build
  '--help', // of oclif
  '--version',
  '--x', // any flag
  '--no-real', // npm run chaos
  '--engine',
  '--fsync',
])

const flags = new Set(
  Object.values(manifest.commands)
    .flatMap((command) => Object.values(command.flags))
    .flatMap(({name, char, aliases = []}) => [
      `--${name}`,
      `--no-${name}`,
      `-${char}`,
      ...aliases.map((alias) => `--${alias}`),
    ]),
)

/** The texts of the program, of what is run beside it, and of what is shipped. */
const sources = globSync(['{src,chaos,proof,bench,fuzz,demo,deploy}/**/*.{ts,tsx,mjs,yaml,conf}', 'package.json'], {
  cwd: root,
})
  .map((file) => readFileSync(join(root, file), 'utf8'))
  .join('\n')
const words = new Set(sources.match(/[A-Za-z_]\w*/g))
/** Settings as they are named in the environment. */
const isVariable = (name: string) => words.has(name) || words.has(name.replace(/^A2A_/, '').toLowerCase())

/**
 * Whether inline code names what exists: a flag of the program, a variable, or a word of its settings, events, routes or
 * metrics. Other code is not looked at.
 */
export function isKnownCode(code: string): boolean {
  const [first = ''] = code.split(/[ =,]/)
  if (/^--?[a-z]/.test(code)) return flags.has(first) || foreignFlags.has(first) || code.startsWith('npm run')
  if (/^(A2A|OPENCODE)_[A-Z0-9_]+$/.test(first)) return isVariable(first)
  if (/^[a-z]+(_[a-z0-9]+)+$/.test(code)) return words.has(code)
  return true
}
