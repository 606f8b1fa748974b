import {readdirSync} from 'node:fs'
import {delimiter, join} from 'node:path'
import type {Environment} from '../config/file.ts'
import {isExecutableFile} from '../opencode/program/locate.ts'
import type {Machine} from './machine/machine.ts'

/** Programs by which agents build and test. Version managers install them in a home. */
const wanted = 'node npm npx pnpm yarn bun deno cargo rustc go python3 uv java mvn gradle ruby dotnet php'.split(' ')

export type ToolFolder = {folder: string; tools: string[]}

/** Folders with tools that a person finds and the service does not. `path` is the PATH of the service. */
export async function missingTools({
  person,
  machine,
  path,
}: {
  person: Environment
  machine: Machine
  path: string
}): Promise<ToolFolder[]> {
  if (!machine.isLive) return []
  const found = new Set(path.split(delimiter).flatMap(toolsIn))
  const missing: ToolFolder[] = []
  for (const folder of await foldersOf(person, machine)) {
    const tools = toolsIn(folder).filter((tool) => !found.has(tool))
    for (const tool of tools) found.add(tool)
    if (tools.length > 0) missing.push({folder, tools})
  }

  return missing
}

const toolsIn = (folder: string) => wanted.filter((tool) => isExecutableFile(join(folder, tool)))

/** The folders of the person's PATH. sudo replaces that, so the usual folders in the home of its caller are added. */
async function foldersOf(person: Environment, machine: Machine): Promise<string[]> {
  const searched = (person['PATH'] ?? '').split(delimiter).filter((folder) => folder.startsWith('/'))
  const caller = person['SUDO_USER']
  const entry = caller ? (await machine.run(['getent', 'passwd', caller])).stdout.split(':')[5] : undefined
  const home = entry || person['HOME']
  const usual = home
    ? [...nodeFolders(home), ...['.cargo/bin', 'go/bin', '.bun/bin'].map((name) => join(home, name))]
    : []
  return [...new Set([...searched, ...usual, '/usr/local/go/bin'])].filter(
    (folder) => !folder.includes('/node_modules/'),
  )
}

/** Folders of the Node versions that nvm has installed, newest first. */
function nodeFolders(home: string): string[] {
  const versions = join(home, '.nvm/versions/node')
  try {
    const names = readdirSync(versions).toSorted((a, b) => b.localeCompare(a, 'en', {numeric: true}))
    return names.map((name) => join(versions, name, 'bin'))
  } catch {
    return []
  }
}
