import * as v from 'valibot'
import {configError} from '../core/errors.ts'
import {agentPrefix, defaultProgram} from '../protocol/agent-program.ts'
import {describeIssues} from '../protocol/parse.ts'

/**
 * A program that runs tasks. `acp`: an agent that speaks the Agent Client Protocol. `command`: a program without a
 * model, which gets the prompt and is judged by its exit code.
 */
export type AgentDefinition = {
  name: string
  kind: 'acp' | 'command'
  /** Program and arguments. In a command `{{prompt}}` stands for the prompt; otherwise that is its standard input. */
  command: readonly [string, ...string[]]
  /** Variables that it may see, besides those of all agents. */
  envAllow: readonly string[]
  /** What becomes of its requests for permission. */
  permissions: 'allow' | 'ask' | 'deny'
  /** The model of tasks that name none. */
  model: string | undefined
  /** The mode of tasks that name none. */
  mode: string | undefined
  /** How it is installed, for people. */
  install: string | undefined
}

const nameSchema = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9][a-z0-9_-]{0,39}$/, 'a name has small letters, digits, - and _'),
)
const wordsSchema = v.pipe(
  v.array(
    v.pipe(
      v.string(),
      v.check((word) => !word.includes('\0'), 'a word must not contain NUL'),
    ),
  ),
  v.minLength(1, 'name a program'),
)

const definitionSchema = v.strictObject({
  /** A text is run by `sh -c`. */
  command: v.optional(v.union([v.pipe(v.string(), v.minLength(1)), wordsSchema])),
  type: v.optional(v.picklist(['acp', 'command'])),
  env_allow: v.optional(v.array(v.string())),
  permissions: v.optional(v.picklist(['allow', 'ask', 'deny'])),
  model: v.optional(v.pipe(v.string(), v.minLength(1))),
  mode: v.optional(v.pipe(v.string(), v.minLength(1))),
})

const settingSchema = v.record(nameSchema, v.union([v.literal(false), definitionSchema]))

/** Agents that are used when they are installed. Their keys are in variables of their own, so they may see those. */
const known: readonly AgentDefinition[] = [
  builtin('claude', ['claude-agent-acp'], ['ANTHROPIC_*', 'CLAUDE_*'], '@agentclientprotocol/claude-agent-acp'),
  builtin('codex', ['codex-acp'], ['OPENAI_*', 'CODEX_*'], '@agentclientprotocol/codex-acp'),
  builtin('gemini', ['gemini', '--acp'], ['GEMINI_*', 'GOOGLE_*'], '@google/gemini-cli'),
]

/** The modes in which agents ask before they edit. In their usual modes these two decide by themselves. */
const askingModes: Record<string, string> = {claude: 'default', codex: 'read-only'}

function builtin(name: string, command: [string, ...string[]], envAllow: string[], npm: string): AgentDefinition {
  const common = {kind: 'acp', permissions: 'allow', model: undefined, mode: undefined} as const
  return {name, command, envAllow, install: `npm i -g ${npm}`, ...common}
}

/**
 * The agents besides OpenCode: those that are built in, changed and extended by the setting `agents`. False removes one.
 * Throws ExpectedError (78) for a malformed setting.
 */
export function agentDefinitions(setting: unknown): AgentDefinition[] {
  const parsed = v.safeParse(settingSchema, setting ?? {})
  if (!parsed.success)
    throw configError(
      `the setting \`agents\` is malformed: ${describeIssues(parsed.issues)}`,
      'Example: {"tests": {"type": "command", "command": ["make", "test"]}}',
    )
  const agents = new Map(known.map((agent) => [agent.name, agent]))
  for (const [name, given] of Object.entries(parsed.output)) {
    if (name === defaultProgram)
      throw configError(
        'the setting `agents` must not define opencode: it is set by `opencode_bin`, `executor`, `permissions` and `env_allow`',
      )
    if (given === false) agents.delete(name)
    else agents.set(name, definition(name, given, agents.get(name)))
  }
  return [...agents.values()]
}

function definition(
  name: string,
  given: v.InferOutput<typeof definitionSchema>,
  base: AgentDefinition | undefined,
): AgentDefinition {
  const kind = given.type ?? base?.kind ?? 'acp'
  const command = given.command === undefined ? base?.command : words(given.command)
  if (!command) throw configError(`the agent ${name} in the setting \`agents\` has no command`)
  if (given.command !== undefined && typeof given.command === 'string' && given.command.includes('{{prompt}}'))
    throw configError(
      `the command of the agent ${name} is a text for the shell, where {{prompt}} would be run as a part of it`,
      'Write the command as a list, or read the prompt from standard input',
    )
  const permissions = given.permissions ?? base?.permissions ?? 'allow'
  return {
    ...{name, kind, command, permissions},
    envAllow: given.env_allow ?? base?.envAllow ?? [],
    mode: given.mode ?? (base && permissions !== 'allow' ? askingModes[name] : undefined),
    model: given.model ?? base?.model,
    install: given.command === undefined ? base?.install : undefined,
  }
}

const words = (command: string | string[]): [string, ...string[]] =>
  typeof command === 'string' ? ['/bin/sh', '-c', command] : (command as [string, ...string[]])

/** The capability that tells that a worker has an agent. */
export const capabilityOf = (name: string) => `${agentPrefix}${name}`
