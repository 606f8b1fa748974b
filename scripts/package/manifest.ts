import {readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {Plugin} from '@oclif/core'

type PackageJson = {
  name: string
  version: string
  description: string
  license: string
  oclif: {plugins?: string[]} & Record<string, unknown>
}

/** Fields of the repository's package.json that the package has too. */
const sharedFields = ['name', 'version', 'description', 'keywords', 'license', 'type', 'bin', 'engines'] as const

/** Writes the package.json of the package. It has no dependencies: everything is in the bundle. Returns the repository's. */
export function writePackageJson(root: string, target: string, files: readonly string[]): PackageJson {
  const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as PackageJson
  const {plugins: _, ...oclif} = own.oclif
  const content = {
    ...Object.fromEntries(sharedFields.map((field) => [field, own[field as keyof PackageJson]])),
    files,
    oclif,
  }
  writeFileSync(join(target, 'package.json'), `${JSON.stringify(content, null, 2)}\n`)
  return own
}

/**
 * Writes oclif's list of all commands, with which it finds and describes them without loading them. Loads each command
 * of the bundle once, and so fails if one cannot be loaded.
 */
export async function writeCommandList(target: string): Promise<void> {
  const plugin = new Plugin({
    ...{root: target, name: 'a2a-worker', type: 'core', isRoot: true},
    ...{ignoreManifest: true, errorOnManifestCreate: true, respectNoCacheDefault: true},
  })
  await plugin.load()
  const {commands, ...rest} = plugin.manifest
  const sorted = Object.fromEntries(Object.entries(commands).sort(([a], [b]) => (a < b ? -1 : 1)))
  writeFileSync(join(target, 'oclif.manifest.json'), JSON.stringify({commands: sorted, ...rest}))
}
