import type {Hook} from '@oclif/core'
import {nearestNames} from '../lib/core/text/nearest.ts'

/** As of shells: the command does not exist. */
const exitCode = 127

/** A mistyped command: names the nearest ones, with and without a terminal, and exits 127. */
const commandNotFound: Hook<'command_not_found'> = async function ({id, argv = [], config}) {
  const words = (text: string) => text.replaceAll(':', ' ')
  const visible = config.commands.filter(({hidden}) => !hidden).flatMap((command) => [command.id, ...command.aliases])
  const near = nearestNames(words(id), visible.map(words))
  const message = `There is no command ${config.bin} ${words(id)}.`
  const suggestions = [
    ...(near.length > 0 ? [`Did you mean ${near.map((name) => `\`${config.bin} ${name}\``).join(' or ')}?`] : []),
    `All commands: ${config.bin} --help`,
  ]
  if (argv.includes('--json'))
    this.log(JSON.stringify({error: {code: 'UNKNOWN_COMMAND', message, exit: exitCode, suggestions}}, null, 2))
  else process.stderr.write(`Error: ${message}\n${suggestions.map((text) => `  → ${text}\n`).join('')}`)
  this.exit(exitCode)
}

export default commandNotFound
