import {commandId, ourArguments} from './our-commands.ts'
import {shellCommands} from './shell-line.ts'

/** What a test does with a line of a shell block. */
export type Treatment =
  | {kind: 'run'; /** Exit codes that are right here, besides 0. */ codes?: readonly number[]}
  /** Started, and stopped when it serves. */
  | {kind: 'start'}
  /** Only parsed, for a reason. */
  | {kind: 'parse'; why: string}

/** What lines may run besides our program. Everything else belongs to another machine, or changes this one. */
const harmless = new Set([
  'a2a-worker',
  'git',
  'echo',
  'cat',
  'mkdir',
  'umask',
  'for',
  'openssl',
  'done',
  'grep',
  'export',
  'cd',
  'test',
  'jq',
])

/** Commands of ours that are not run here, and where they are run. */
const parsed: Readonly<Record<string, string>> = {
  dashboard: 'needs a terminal: test/commands/dashboard.test.ts',
  'install-service': 'changes the machine: test/service',
  'uninstall-service': 'changes the machine: test/service',
  stop: 'would stop the worker of this test: test/commands/comfort.test.ts',
}

/** Commands whose exit code tells what they found. */
const codes: Readonly<Record<string, readonly number[]>> = {
  doctor: [1],
  status: [1],
  'tasks:answer': [1],
  'config:get': [1],
}

export function treatmentOf(line: string): Treatment {
  if (line.includes('…')) return {kind: 'parse', why: 'leaves something out'}
  if (/redis:|rediss:|redis\+|--tls-|\/var\/|\/path\/to/.test(line))
    return {kind: 'parse', why: 'needs what is not here'}
  const commands = shellCommands(line)
  const foreign = commands.find(({words: [program = '']}) => !harmless.has(program))
  if (foreign) return {kind: 'parse', why: `${foreign.words[0]} is another program`}
  const all = commands.flatMap(({words}) => ourArguments(words) ?? [])
  const id = commandId(all) ?? ''
  const why = parsed[id]
  if (why !== undefined) return {kind: 'parse', why}
  if (all.includes('--watch')) return {kind: 'parse', why: 'needs a terminal: test/commands/comfort.test.ts'}
  if (all.includes('--with')) return {kind: 'parse', why: 'needs another agent: test/e2e/agents.test.ts'}
  if (all.includes('--follow') && ['logs', 'audit'].includes(id)) return {kind: 'parse', why: 'does not end'}
  if (id === 'serve' || (id === 'start' && !all.includes('--once'))) return {kind: 'start'}
  return {kind: 'run', ...(codes[id] ? {codes: codes[id]} : {})}
}
