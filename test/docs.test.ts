import {existsSync, globSync, readFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {afterAll, expect, test} from 'vitest'
import {settingKeys} from '../src/lib/config/settings.ts'
import {resolveConfig} from '../src/lib/config/resolve.ts'
import {root} from './support/cli.ts'
import {startDocsMachine} from './support/docs/docs-machine.ts'
import {isKnownCode} from './support/docs/known-names.ts'
import {anchorsOf, blocksOf, inlineCodeOf, linksOf} from './support/docs/markdown.ts'
import {normalised} from './support/docs/normalised.ts'
import {ourArguments, usageProblem} from './support/docs/our-commands.ts'
import {scriptLines, shellCommands} from './support/docs/shell-line.ts'
import {treatmentOf} from './support/docs/treatment.ts'

const pages = ['README.md', ...globSync('docs/*.md', {cwd: root}).sort()]
const read = (page: string) => readFileSync(join(root, page), 'utf8')

const machine = await startDocsMachine()
afterAll(() => machine[Symbol.asyncDispose]())

test.each(pages)('every command in %s is one of the program, with its flags and arguments', async (page) => {
  const problems: string[] = []
  const look = async (line: string, where: string) => {
    for (const {words} of shellCommands(line)) {
      const problem = await usageProblem(ourArguments(words) ?? [])
      if (problem !== undefined) problems.push(`${where}: ${line}: ${problem}`)
    }
  }
  for (const {info, text, line} of blocksOf(read(page)))
    if (info === 'sh')
      for (const command of scriptLines(text)) await look(command.replaceAll(' …', ''), `${page}:${line}`)
  for (const code of inlineCodeOf(read(page)))
    if (/^(sudo )?a2a-worker [a-z]/.test(code)) await look(code.replaceAll('…', 'x'), page)
  expect(problems).toEqual([])
})

// The examples of the reference are those of `--help`. They are parsed above, and the other pages use the same commands.
test.each(pages.filter((page) => page !== 'docs/reference.md'))(
  'every command in %s works, and prints what the page shows',
  async (page) => {
    const problems: string[] = []
    let shell = machine.newShell()
    let printed = ''
    for (const {info, text, line} of blocksOf(read(page))) {
      if (info === 'text output' && normalised(text) !== normalised(machine.shown(printed)))
        problems.push(`${page}:${line} shows another output than:\n${machine.shown(printed)}`)
      if (info !== 'sh') continue
      shell = machine.newShell()
      printed = ''
      for (const command of scriptLines(text)) {
        const treatment = treatmentOf(command)
        if (treatment.kind === 'parse') continue
        const {code, stdout, stderr} = await shell[treatment.kind](command)
        const right = treatment.kind === 'run' ? [0, ...(treatment.codes ?? [])] : [0]
        if (!right.includes(code ?? -1)) problems.push(`${page}:${line}: ${command}: exit ${code}: ${stderr}`)
        printed += stdout
      }
    }
    expect(problems).toEqual([])
  },
)

test.each(pages)('every flag, setting and variable that %s names exists', (page) => {
  expect(inlineCodeOf(read(page)).filter((code) => !isKnownCode(code))).toEqual([])
})

test.each(pages)('the settings in the examples of %s are valid', (page) => {
  for (const {info, text, line} of blocksOf(read(page))) {
    if (info !== 'json') continue
    const content = JSON.parse(text) as Record<string, unknown>
    if (!settingKeys.some((key) => key in content)) continue
    const {warnings} = resolveConfig({
      flags: {},
      env: {},
      files: [{path: '/config.json', content, directory: '/', isPublic: false}],
      cwd: '/',
    })
    expect(warnings, `${page}:${line}`).toEqual([])
  }
})

test.each(pages)('every link of %s leads to a file of the repository, and to a heading of it', (page) => {
  const broken = linksOf(read(page)).filter((link) => {
    const [file = '', anchor] = link.split('#')
    const path = file === '' ? page : join(dirname(page), file)
    if (!existsSync(join(root, path))) return true
    return anchor !== undefined && !anchorsOf(read(path)).includes(anchor)
  })
  expect(broken).toEqual([])
})
