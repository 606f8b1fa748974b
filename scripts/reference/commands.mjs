import {code, table} from './table.mjs'

/** The flags of every command are in one table before the commands. */
const common = ['config', 'server', 'insecure', 'no-color', 'json']

/**
 * A section per command, from the manifest of oclif.
 * @param {{commands: Record<string, any>}} manifest
 */
export function commandSections({commands}) {
  const visible = Object.values(commands).filter(({hidden}) => !hidden)
  const index = table(
    ['command', 'what it does'],
    visible.map((command) => [
      `[${code(nameOf(command))}](#a2a-worker-${nameOf(command).replaceAll(' ', '-')})`,
      command.summary,
    ]),
  )
  const shared = visible.find(({id}) => id === 'tasks:list').flags
  const flags = flagTable(common.map((name) => shared[name]))
  return [
    index,
    'Flags of every command. `--json` is missing where a command prints nothing for programs:',
    flags,
    ...visible.map(sectionOf),
  ].join('\n\n')
}

const nameOf = ({id}) => id.replaceAll(':', ' ')

function sectionOf(command) {
  const {summary, description, args, flags, examples} = command
  const own = Object.values(flags).filter(({name, hidden}) => !common.includes(name) && !hidden)
  const named = Object.values(args).filter(({hidden}) => !hidden)
  return [
    `### a2a-worker ${nameOf(command)}`,
    `${summary}.${description ? ` ${description}` : ''}`,
    ['```sh', ...examples.map((example) => exampleText(example, command)), '```'].join('\n'),
    ...(named.length > 0
      ? [
          table(
            ['argument', 'meaning'],
            named.map((arg) => [code(arg.name), arg.description ?? '']),
          ),
        ]
      : []),
    ...(own.length > 0 ? [flagTable(own)] : []),
  ].join('\n\n')
}

const exampleText = (example, command) =>
  example.replaceAll('<%= config.bin %>', 'a2a-worker').replaceAll('<%= command.id %>', nameOf(command))

const flagTable = (flags) =>
  table(
    ['flag', 'meaning'],
    flags.map((flag) => [flagNames(flag), flagText(flag)]),
  )

function flagNames({name, char, allowNo, type, helpValue}) {
  const value = type === 'option' ? ` ${helpValue ?? 'VALUE'}` : ''
  const short = char ? `, ${code(`-${char}`)}` : ''
  return `${code(`--${name}${value}`)}${short}${allowNo ? `, ${code(`--no-${name}`)}` : ''}`
}

function flagText({summary, description, default: fallback, options, env}) {
  const isSaid = /default/.test(summary ?? '')
  return [
    summary ?? description,
    ...(options ? [`one of ${options.map(code).join(', ')}`] : []),
    ...(fallback === undefined || isSaid ? [] : [`default ${code(fallback)}`]),
    ...(env ? [`also ${code(env)}`] : []),
  ].join('; ')
}
