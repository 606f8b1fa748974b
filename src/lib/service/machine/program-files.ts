import {existsSync, readdirSync, readFileSync, realpathSync, statSync} from 'node:fs'
import {dirname, join} from 'node:path'
import * as v from 'valibot'
import {configError} from '../../core/errors.ts'
import {parseJson} from '../../protocol/parse.ts'

const names = v.optional(v.record(v.string(), v.unknown()), {})
const packageSchema = v.object({
  files: v.optional(v.array(v.string())),
  dependencies: names,
  optionalDependencies: names,
  peerDependencies: names,
  peerDependenciesMeta: v.optional(v.record(v.string(), v.object({optional: v.optional(v.boolean())})), {}),
})
type Package = v.InferOutput<typeof packageSchema>

/**
 * The files of the program and of all packages that it needs at run time, as a map from the path in the copy to the
 * source path. It works for nested, hoisted and linked packages. Throws ExpectedError (78) if a package is missing.
 */
export function programFiles(root: string): Map<string, string> {
  const files = new Map<string, string>()
  for (const [target, folder] of placePackages(root)) {
    const own = target === '' ? readPackage(folder).files : undefined
    const tops = own === undefined ? readdirSync(folder) : ['package.json', ...own]
    for (const top of tops) if (top !== 'node_modules') collect(join(folder, top), join(target, top), files)
  }

  return files
}

function collect(from: string, to: string, files: Map<string, string>): void {
  const stat = statSync(from, {throwIfNoEntry: false})
  if (stat?.isFile()) files.set(to, from)
  else if (stat?.isDirectory()) for (const name of readdirSync(from)) collect(join(from, name), join(to, name), files)
}

/**
 * Maps the relative place of each package ('' is the program itself) to its folder. A package is placed at the top, or,
 * if another version is there already, inside its dependent.
 */
function placePackages(root: string): Map<string, string> {
  const placed = new Map([['', realpathSync(root)]])
  const waiting = ['']
  for (let target = waiting.pop(); target !== undefined; target = waiting.pop()) {
    const folder = placed.get(target) ?? ''
    for (const {name, isNeeded} of listDependencies(readPackage(folder))) {
      const found = resolvePackage(name, folder)
      if (found === undefined) {
        if (isNeeded) throw missingPackageError(name, folder)
        continue
      }

      const seen = findVisible(name, target, placed)
      if (seen !== undefined && placed.get(seen) === found) continue
      const place = join(seen === undefined ? '' : target, 'node_modules', name)
      placed.set(place, found)
      waiting.push(place)
    }
  }

  return placed
}

function listDependencies({dependencies, optionalDependencies, peerDependencies, peerDependenciesMeta}: Package) {
  const optional = new Set(Object.keys(optionalDependencies))
  return [
    ...Object.keys(dependencies).map((name) => ({name, isNeeded: !optional.has(name)})),
    ...[...optional].map((name) => ({name, isNeeded: false})),
    ...Object.keys(peerDependencies)
      .filter((name) => peerDependenciesMeta[name]?.optional !== true)
      .map((name) => ({name, isNeeded: false})),
  ]
}

/** Resolves a package like Node: in the node_modules of the folder, then in those above. */
function resolvePackage(name: string, folder: string): string | undefined {
  const candidate = join(folder, 'node_modules', name)
  if (existsSync(join(candidate, 'package.json'))) return realpathSync(candidate)
  const parent = dirname(folder)
  return parent === folder ? undefined : resolvePackage(name, parent)
}

/** The place where a package at `target` would find this name in the copy. */
function findVisible(name: string, target: string, placed: ReadonlyMap<string, string>): string | undefined {
  const parts = target === '' ? [] : target.split(/\/?node_modules\//).slice(1)
  for (let depth = parts.length; depth >= 0; depth--) {
    const above = parts.slice(0, depth).map((part) => join('node_modules', part))
    const place = join(...above, 'node_modules', name)
    if (placed.has(place)) return place
  }

  return undefined
}

function readPackage(folder: string): Package {
  const parsed = v.safeParse(packageSchema, parseJson(readFileSync(join(folder, 'package.json'), 'utf8')))
  if (parsed.success) return parsed.output
  throw configError(`${join(folder, 'package.json')} cannot be used.`, 'Install a2a-worker again.')
}

const missingPackageError = (name: string, folder: string) =>
  configError(`The package ${name}, which ${folder} needs, is not installed.`, 'Install a2a-worker again (npm ci).')
