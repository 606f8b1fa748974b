// Tries OpenCode, Claude Code, Codex and Gemini CLI as they are, each against a scripted endpoint of its own API on
// loopback. It needs the npm registry, unless the agents are installed already.
import {mkdirSync, readFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {parseArgs} from 'node:util'
import {root} from '../../test/support/cli.ts'
import {installAgents} from './install.ts'
import {subjects} from './subjects.ts'
import {type Check, checks, type Seen, tryAgent} from './try-agent.ts'

const {values} = parseArgs({
  options: {
    /** Where the agents are installed. */
    folder: {type: 'string', default: join(tmpdir(), 'a2a-proof-agents')},
    /** Installs the newest versions instead of those that were tried. */
    latest: {type: 'boolean', default: false},
    /** Names of agents, divided by commas. */
    only: {type: 'string'},
    /** A folder for the messages that the agents have printed. */
    keep: {type: 'string'},
  },
})
const say = (text: string) => process.stdout.write(`${text}\n`)

const {bin, versionOf} = installAgents(values.folder, values.latest)
const versions: Record<string, string> = {
  opencode: versionIn(join(root, 'node_modules/opencode-linux-x64')),
  claude: versionOf('@agentclientprotocol/claude-agent-acp'),
  codex: versionOf('@agentclientprotocol/codex-acp'),
  gemini: versionOf('@google/gemini-cli'),
}
if (values.keep !== undefined) mkdirSync(values.keep, {recursive: true})

function versionIn(folder: string): string {
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {version: string}).version
}

const names: Record<Check, string> = {
  edit: 'edit',
  usage: 'usage',
  permission: 'permission',
  denied: 'denied',
  said: 'a word',
  cancelled: 'cancelled',
  'in turn': 'killed in the turn',
  'permission open': 'killed with a permission open',
  'half line': 'killed in half a line',
  resumed: 'resumed after its death',
}
const cell = (seen: Seen, name: Check) =>
  seen.checks[name] === true ? (name === 'usage' ? (seen.usage ?? '') : 'yes') : 'NO'

const rows: string[] = []
for (const subject of subjects) {
  if (values.only !== undefined && !values.only.split(',').includes(subject.name)) continue
  const onCheck = (name: Check, result: string | true) =>
    say(`${subject.name}: ${names[name]}: ${result === true ? 'yes' : result}`)
  const seen = await tryAgent(subject, {bin, keep: values.keep, onCheck})
  if (checks.some((name) => seen.checks[name] !== true)) process.exitCode = 1
  rows.push(
    [
      subject.name,
      versions[subject.name],
      seen.handshakeMs,
      ...checks.map((name) => cell(seen, name)),
      seen.options,
    ].join(' | '),
  )
}
say(`| agent | version | handshake ms | ${checks.map((name) => names[name]).join(' | ')} | models and modes |`)
say(`|${' --- |'.repeat(checks.length + 4)}`)
for (const row of rows) say(`| ${row} |`)
