import type {Hook} from '@oclif/core'
import {nearestNames} from '../lib/core/text/nearest.ts'

/** As of shells: the command does not exist. */
const exitCode = 127

/** What people try who know other programs. */
const known: Record<string, string> = {
  'config list': 'config show',
  'config unset': 'config set KEY --unset',
  login: 'config set auth_token',
  ps: 'tasks list',
  'tasks delete': 'tasks cancel',
  'tasks rm': 'tasks cancel',
  'tasks show': 'tasks get',
  'tasks status': 'tasks get',
  'tasks watch': 'tasks output ID --follow',
  version: '--version',
}

/** A mistyped command: names the nearest ones, with and without a terminal, and exits 127. */
const commandNotFound: Hook<'command_not_found'> = async function ({id, argv = [], config}) {
  const words = (text: string) => text.replaceAll(':', ' ')
  const visible = config.commands.filter(({hidden}) => !hidden).flatMap((command) => [command.id, ...command.aliases])
  const nearTo = (text: string) => (Object.hasOwn(known, text) ? [known[text]] : nearestNames(text, visible.map(words)))
  // oclif takes arguments for parts of the command, so only two words may be meant
  const [first = '', second] = id.split(':')
  const both = second === undefined ? first : `${first} ${second}`
  const isOfTopic = config.topics.some(({name}) => name === first) || nearTo(both).length > 0
  const name = isOfTopic ? both : first
  const near = nearTo(name)
  const message = `There is no command ${config.bin} ${name}.`
  const suggestions = [
    ...(near.length > 0 ? [`Did you mean ${near.map((other) => `\`${config.bin} ${other}\``).join(' or ')}?`] : []),
    `All commands: ${config.bin} --help`,
  ]
  if (argv.includes('--json'))
    this.log(JSON.stringify({error: {code: 'UNKNOWN_COMMAND', message, exit: exitCode, suggestions}}, null, 2))
  else process.stderr.write(`Error: ${message}\n${suggestions.map((text) => `  → ${text}\n`).join('')}`)
  this.exit(exitCode)
}

export default commandNotFound
