/** A command of a shell line: its words without quotes. */
export type ShellCommand = {variables: Record<string, string>; words: string[]}

/** The lines of a script, without comments, empty lines and line continuations. */
export const scriptLines = (text: string): string[] =>
  text
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter((line) => line !== '')

/** Whether only one program is run, without pipes, redirections, substitutions or expansions. */
export const isPlain = (line: string): boolean => !/[|<>;&$()~*`]/.test(line.replaceAll(/"[^"$`]*"|'[^']*'/g, ''))

/** The commands of a line: those of a pipe, of a list and of a subshell. */
export function shellCommands(line: string): ShellCommand[] {
  const commands: string[][] = [[]]
  for (const [token, operator] of tokens(line)) {
    const words = commands.at(-1) ?? []
    if (operator === 'redirection') words.push('>')
    else if (operator !== undefined) commands.push([])
    else if (words.at(-1) === '>') words.pop()
    else words.push(token)
  }
  return commands.map(withoutKeywords).filter(({words}) => words.length > 0)
}

type Token = [text: string, operator?: 'control' | 'redirection']

function tokens(line: string): Token[] {
  const pattern =
    /\s+|(\|\||&&|[|;&()])|(\d?(?:>>|>|<)(?:&\d)?)|((?:\$\([^)]*\)|\\.|'[^']*'|"(?:\\.|\$\([^)]*\)|[^"\\])*"|[^\s|;&()<>'"\\])+)/g
  return [...line.matchAll(pattern)].flatMap(([, control, redirection, word]): Token[] => {
    if (control !== undefined) return [[control, 'control']]
    if (redirection !== undefined) return redirection.includes('&') ? [] : [[redirection, 'redirection']]
    return word === undefined ? [] : [[unquoted(word)]]
  })
}

const unquoted = (word: string) =>
  word.replaceAll(
    /'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/g,
    (_, single?: string, double?: string, char?: string) =>
      single ?? double?.replaceAll(/\\(["\\$`])/g, '$1') ?? char ?? '',
  )

function withoutKeywords(words: string[]): ShellCommand {
  const rest = words.filter((word, index) => !(index === 0 && /^(do|then|else|while|if|!)$/.test(word)))
  const at = rest.findIndex((word) => !/^[A-Za-z_]\w*=/.test(word))
  const given = at < 0 ? rest : rest.slice(0, at)
  const variables = Object.fromEntries(given.map((word) => [word.split('=')[0], word.slice(word.indexOf('=') + 1)]))
  return {variables: variables as Record<string, string>, words: at < 0 ? [] : rest.slice(at)}
}
