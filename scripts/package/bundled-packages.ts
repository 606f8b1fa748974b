import {createHash} from 'node:crypto'
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import type {Metafile} from 'esbuild'

/** A package of which the bundle contains code. */
export type BundledPackage = {
  name: string
  version: string
  /** An SPDX expression. */
  license: string
  /** Path of its folder, relative to the repository. */
  folder: string
  /** Of its archive in the registry, as the lockfile has it: `sha512-…`. */
  integrity: string | undefined
  /** Folders of the packages that its code imports. */
  imports: string[]
}

type Lockfile = {packages: Record<string, {integrity?: string} | undefined>}
type PackageJson = {name: string; version: string; license?: string}

const readJson = <T>(path: string) => JSON.parse(readFileSync(path, 'utf8')) as T

/** The folder of the package that a source belongs to; undefined for our own. */
const folderOf = (source: string) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(source)?.[0]

/** The packages of which code is in the output, sorted by name. What the bundler has left out completely does not count. */
export function bundledPackages(root: string, {inputs, outputs}: Metafile): BundledPackage[] {
  const lock = readJson<Lockfile>(join(root, 'package-lock.json'))
  const used = Object.values(outputs).flatMap(({inputs: parts}) =>
    Object.entries(parts).flatMap(([source, {bytesInOutput}]) => (bytesInOutput > 0 ? [source] : [])),
  )
  const folders = [...new Set(used.flatMap((source) => folderOf(source) ?? []))]
  const imports = new Map(folders.map((folder) => [folder, new Set<string>()]))
  for (const source of used)
    for (const {path} of inputs[source]?.imports ?? []) {
      const [from, to] = [folderOf(source), folderOf(path)]
      if (from !== undefined && to !== undefined && from !== to && imports.has(to)) imports.get(from)?.add(to)
    }

  return folders
    .map((folder) => {
      const {name, version, license} = readJson<PackageJson>(join(root, folder, 'package.json'))
      if (license === undefined) throw new Error(`${folder}/package.json names no licence`)
      const integrity = lock.packages[folder]?.integrity
      return {name, version, license, folder, integrity, imports: [...(imports.get(folder) ?? [])].sort()}
    })
    .sort((a, b) => (a.name === b.name ? a.folder.localeCompare(b.folder) : a.name.localeCompare(b.name)))
}

/** Folders of the packages that our own code imports. */
export function directImports({inputs}: Metafile, packages: readonly BundledPackage[]): Set<string> {
  const inside = new Set(packages.map(({folder}) => folder))
  const own = Object.entries(inputs).filter(([source]) => folderOf(source) === undefined)
  const found = own.flatMap(([, {imports}]) => imports.flatMap(({path}) => folderOf(path) ?? []))
  return new Set(found.filter((folder) => inside.has(folder)))
}

/** SHA-256 of a text, in hexadecimal. */
export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
