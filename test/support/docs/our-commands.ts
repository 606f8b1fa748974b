import {Config, Flags, Parser, type Command} from '@oclif/core'
import {root} from '../cli.ts'
import {shellCommands} from './shell-line.ts'

const config = await Config.load(root)
const ids = new Set(config.commandIDs)
const topics = new Set([...ids].map((id) => id.split(':')[0]))

/** Programs that run another one, which is among their arguments. */
const runners = new Set(['sudo', 'env', 'npx', 'timeout', 'nohup', 'docker', 'podman', 'kubectl', 'ssh', 'systemd-run'])
/** Their options whose value may be called like our program. */
const optionsWithNames = new Set(['-u', '-g', '-t', '-n', '-c', '--user', '--group', '--package', '--name', '--tag'])

/** The arguments of our program in a command, also behind sudo, docker or ssh. */
export function ourArguments(words: readonly string[]): string[] | undefined {
  const [program = ''] = words
  if (program === 'a2a-worker') return words.slice(1)
  if (!runners.has(program)) return undefined
  for (const [index, word] of words.entries()) {
    if (index === 0 || optionsWithNames.has(words[index - 1] ?? '')) continue
    if (word === 'a2a-worker' && (program !== 'docker' || topics.has(words[index + 1] ?? '')))
      return words.slice(index + 1)
    if (word.startsWith('a2a-worker ')) return shellCommands(word)[0]?.words.slice(1) // ssh host '…'
  }
  return undefined
}

/** The id of the command that these arguments name: `tasks:create`. */
export function commandId(args: readonly string[]): string | undefined {
  const [first = '', second = ''] = args
  return [`${first}:${second}`, first].find((id) => ids.has(id))
}

/** What oclif's parser of the command refuses in these arguments: an unknown command, flag, value or argument. */
export async function usageProblem(args: readonly string[]): Promise<string | undefined> {
  if (args.every((word) => /^--(version|help)$/.test(word))) return undefined
  const id = commandId(args)
  if (id === undefined)
    return topics.has(args[0] ?? '') && args.length === 1 ? undefined : `no command ${args.slice(0, 2).join(' ')}`
  if (args.includes('--help')) return undefined
  const command = await loadCommand(id)
  try {
    await Parser.parse(args.slice(id.split(':').length), {
      args: command.args,
      flags: {...command.baseFlags, ...command.flags, ...(command.enableJsonFlag ? {json: Flags.boolean()} : {})},
      strict: command.strict,
    } as Parameters<typeof Parser.parse>[1])
    return undefined
  } catch (error) {
    return (error as Error).message.split('\n')[0]
  }
}

async function loadCommand(id: string): Promise<Command.Class> {
  const found = config.findCommand(id, {must: true})
  return await found.load()
}
