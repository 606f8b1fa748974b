import {Spec, Validation} from '@cyclonedx/cyclonedx-library'
import {globSync, existsSync, readFileSync, statSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {publint} from 'publint'
import {formatMessage} from 'publint/utils'
import {expect, test} from 'vitest'
import {root} from './support/cli.ts'
import {archive, packageFolder} from './support/package.ts'

const read = (name: string) => readFileSync(join(packageFolder, name), 'utf8')
const readJson = <T>(name: string) => JSON.parse(read(name)) as T

type Component = {group?: string; name: string; version: string; hashes?: unknown[]; licenses: unknown[]}
type Bom = {
  metadata: {component: Component}
  components: Component[]
  dependencies: {ref: string; dependsOn: string[]}[]
}

test('the archive is smaller than 1.2 MB, and publint finds nothing to change', async () => {
  expect(statSync(archive()).size).toBeLessThan(1.2e6)
  const {messages, pkg} = await publint({pkgDir: packageFolder, level: 'suggestion', pack: 'npm'})
  expect(messages.map((message) => formatMessage(message, pkg, {color: false}))).toEqual([])
})

test('the repository cannot be published by mistake, and the package is as the repository says', () => {
  const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, unknown>
  const packaged = readJson<Record<string, unknown>>('package.json')
  expect(own['private']).toBe(true)
  for (const field of ['name', 'version', 'bin', 'engines', 'license']) expect(packaged[field]).toEqual(own[field])
  expect(packaged).not.toHaveProperty('private')
  expect(packaged).not.toHaveProperty('dependencies')
})

test("the package lists every command of the repository, and help of oclif's plugin", () => {
  const commands = (text: string) => Object.keys((JSON.parse(text) as {commands: object}).commands)
  const own = commands(readFileSync(join(root, 'oclif.manifest.json'), 'utf8'))
  expect(commands(read('oclif.manifest.json'))).toEqual([...own, 'help'].sort())
})

test('each relative link of the documents leads to a file of the package', () => {
  const pages = globSync('{*.md,docs/*.md}', {cwd: packageFolder})
  expect(pages.length).toBeGreaterThan(8)
  const links = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)#\s]+)/g)]
      .map(([, link = '']) => ({page, link}))
      .filter(({link}) => !/^[a-z]+:/.test(link)),
  )
  expect(links.length).toBeGreaterThan(10)
  expect(links.filter(({page, link}) => !existsSync(join(packageFolder, dirname(page), link)))).toEqual([])
})

test('the bill of materials is valid CycloneDX 1.6, and names each package inside with its licence and hash', async () => {
  const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6)
  expect(await validator.validate(read('sbom.cdx.json'))).toBe(null)
  const broken = read('sbom.cdx.json').replace('"type":"library"', '"type":"thing"')
  expect(await validator.validate(broken)).not.toBe(null)
  const {metadata, components, dependencies} = readJson<Bom>('sbom.cdx.json')
  expect(metadata.component).toMatchObject({name: 'a2a-worker', version: readJson<Component>('package.json').version})
  const names = components.map(({group, name}) => (group === undefined ? name : `${group}/${name}`))
  for (const name of ['@oclif/core', 'undici', 'ink', 'yoga-layout', 'react', 'ioredis', 'pino', 'hono', 'valibot'])
    expect(names).toContain(name)
  expect(names.filter((name) => /^(typescript|esbuild|vitest|react-devtools-core)$/.test(name))).toEqual([])
  expect(components.filter(({hashes, licenses}) => hashes?.length !== 1 || licenses.length !== 1)).toEqual([])
  expect(dependencies).toContainEqual({
    ref: 'pkg:npm/ink@8.0.0',
    dependsOn: expect.arrayContaining(['pkg:npm/react@19.3.1']),
  })
})

test('the licence texts are those of all packages inside', () => {
  const text = read('THIRD-PARTY-LICENSES.txt')
  const {components} = readJson<Bom>('sbom.cdx.json')
  expect(components.length).toBeGreaterThan(100)
  for (const {group, name, version} of components) {
    const section = `\n${group === undefined ? name : `${group}/${name}`} ${version} (`
    expect(text).toContain(section)
    const after = text.slice(text.indexOf(section) + section.length)
    expect(after.slice(0, after.indexOf('='.repeat(80))), section).toMatch(/permission|redistribution|license/i)
  }

  const sections = text.split(`${'='.repeat(80)}\n`).length - 1
  expect(sections).toBe(components.length)
})
