import {exitCodes, exitMeanings} from '../../dist/lib/core/errors.js'
import {commandSections} from './commands.mjs'
import {eventTable} from './events.mjs'
import {settingsTable} from './settings.mjs'
import {code, table} from './table.mjs'
import {wireTable} from './wire.mjs'

/**
 * docs/reference.md: all of it is generated from the code.
 * @param {{commands: Record<string, any>}} manifest
 */
export const referencePage = (manifest) => `# Reference

This page is generated from the program (\`npm run manifest\`).

[Settings](#settings) · [Commands](#commands) · [Exit codes](#exit-codes) · [Worker events](#worker-events) · [The wire](#the-wire)

## Settings

A setting comes from the first of these places that has it:

1. the command-line flag
2. the environment: \`A2A_\` and the key in upper case, for example \`A2A_SERVER_URL\`
3. the file given with \`--config\`; without \`--config\`, \`~/.config/a2a-worker/config.json\`, then \`/etc/a2a-worker/config.json\`

Codebases are the exception: those of all places are served. A running worker applies a changed setting at SIGHUP, except for those that need a restart.

${settingsTable()}

## Commands

${commandSections(manifest)}

## Exit codes

${exitTable()}

## Worker events

Everything that a worker tells: its dashboard, its log and \`status\` are made from these events. With \`log_format: json\` each log line has the fields of its event. \`at\` is in Unix milliseconds.

${eventTable()}

## The wire

The API of the control plane. \`GET /openapi.json\` has all bodies and answers as JSON Schema. The last column names the scopes of tokens that may use an operation: see [security.md](security.md).

${wireTable()}
`

function exitTable() {
  const rows = Object.entries(exitCodes).map(([name, number]) => [number, exitMeanings[name]])
  // The shell's own meaning, used for a mistyped command by src/hooks.
  const all = [...rows, [127, 'there is no such command']].sort(([one], [two]) => one - two)
  return table(
    ['exit code', 'meaning'],
    all.map(([number, meaning]) => [code(number), meaning]),
  )
}
