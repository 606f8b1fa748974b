import type {Command, Interfaces} from '@oclif/core'

/** A word that can be typed next, and what it means. */
export type Candidate = {word: string; about: string}

/** Words that are known while the program runs, for example ids of tasks, by the kind of value. */
export type LiveWords = (kind: LiveKind) => Promise<readonly Candidate[]>

export const liveKinds = ['codebase', 'task', 'worker', 'model', 'agent', 'setting', 'local-worker'] as const
export type LiveKind = (typeof liveKinds)[number]

/** `files`: the shell completes names of files. */
export type Completion = {candidates: readonly Candidate[]; files: boolean}

type Commands = Pick<Interfaces.Config, 'commands' | 'topics'>

/** What flags and arguments of this name have as values, whatever the command. */
const kinds: Readonly<Record<string, LiveKind | 'files'>> = {
  ...{codebase: 'codebase', task: 'task', worker: 'worker', model: 'model', with: 'agent', key: 'setting'},
  ...{
    name: 'local-worker',
    path: 'files',
    file: 'files',
    config: 'files',
    db: 'files',
    opencode: 'files',
    root: 'files',
  },
  ...{'tls-cert': 'files', 'tls-key': 'files', 'auth-tokens-file': 'files', import: 'files'},
}
/** Names that mean something else for a command. */
const exceptions: Readonly<Record<string, LiveKind | 'files'>> = {
  ...{'tasks:create --key': 'files', 'run --key': 'files', 'tasks:answer --key': 'files', 'tasks:say --key': 'files'},
  ...{'start --codebase': 'files', 'install-service --codebase': 'files', 'serve --name': 'files'},
}

/** What can follow on a command line. `words`: those after the program; the last one is being typed and may be empty. */
export async function complete(
  words: readonly string[],
  {commands, topics}: Commands,
  live: LiveWords,
): Promise<Completion> {
  const typed = words.at(-1) ?? ''
  const found = findCommand(words.slice(0, -1), commands)
  if (!found) return {candidates: beginningWith(typed, nextNames(words.slice(0, -1), {commands, topics})), files: false}
  const {command, rest} = found
  const flag = flagBefore(rest, command)
  const isFlag = flag === undefined && typed.startsWith('-')
  if (isFlag) return {candidates: beginningWith(typed, flagsOf(command, rest)), files: false}
  const value = flag ?? argumentAt(rest, command)
  if (!value) return {candidates: [], files: false}
  const {name, options, prefix} = value
  if (options)
    return {
      candidates: beginningWith(
        typed,
        options.map((word) => ({word, about: ''})),
      ),
      files: false,
    }
  const kind = exceptions[`${command.id} ${prefix}${name}`] ?? kinds[name]
  if (kind === undefined || kind === 'files') return {candidates: [], files: kind === 'files'}
  return {candidates: beginningWith(typed, await live(kind)), files: false}
}

/** The command that the words name, and the words after its name. */
function findCommand(words: readonly string[], commands: readonly Command.Loadable[]) {
  for (let length = Math.min(3, words.length); length > 0; length -= 1) {
    const id = words.slice(0, length).join(':')
    const command = commands.find((known) => known.id === id)
    if (command) return {command, rest: words.slice(length)}
  }
  return undefined
}

/** Topics and commands that can follow these words. */
function nextNames(words: readonly string[], {commands, topics}: Commands): Candidate[] {
  const before = words.length > 0 ? `${words.join(':')}:` : ''
  const next = new Map<string, string>()
  const add = (id: string, about: string | undefined) => {
    if (!id.startsWith(before)) return
    const [word = '', ...deeper] = id.slice(before.length).split(':')
    if (word !== '' && (deeper.length === 0 || !next.has(word)))
      next.set(word, deeper.length === 0 ? (about ?? '') : '')
  }
  for (const {id, summary, hidden} of commands) if (!hidden) add(id, summary)
  for (const {name, description} of topics) add(name, description)
  return [...next].map(([word, about]) => ({word, about})).toSorted((a, b) => a.word.localeCompare(b.word))
}

type Value = {name: string; options: readonly string[] | undefined; prefix: '--' | ''}

/** The flag whose value comes next. */
function flagBefore(rest: readonly string[], {flags}: Command.Loadable): Value | undefined {
  const last = rest.at(-1)
  if (last === undefined || !last.startsWith('-')) return undefined
  const flag = Object.values(flags).find(({name, char}) => last === `--${name}` || (char && last === `-${char}`))
  return flag?.type === 'option' ? {name: flag.name, options: flag.options, prefix: '--'} : undefined
}

/** The argument that comes next. */
function argumentAt(rest: readonly string[], command: Command.Loadable): Value | undefined {
  let given = 0
  rest.forEach((word, i) => {
    if (!word.startsWith('-') && flagBefore(rest.slice(0, i), command) === undefined) given += 1
  })
  const argument = Object.values(command.args)[given]
  return argument && {name: argument.name, options: argument.options, prefix: ''}
}

function flagsOf({flags}: Command.Loadable, rest: readonly string[]): Candidate[] {
  return Object.values(flags)
    .filter((flag) => !flag.hidden && (('multiple' in flag && flag.multiple) || !rest.includes(`--${flag.name}`)))
    .map(({name, summary}) => ({word: `--${name}`, about: summary ?? ''}))
}

/** Each word once: two codebases may have the same name. */
const beginningWith = (typed: string, candidates: readonly Candidate[]) =>
  candidates.filter(({word}, i) => word.startsWith(typed) && candidates.findIndex((other) => other.word === word) === i)
