import type {Metafile} from 'esbuild'
import {directImports, sha256, type BundledPackage} from './bundled-packages.ts'

type Program = {name: string; version: string; license: string; description: string}

/** `pkg:npm/%40scope/name@1.2.3` */
const purlOf = ({name, version}: {name: string; version: string}) => `pkg:npm/${name.replace('@', '%40')}@${version}`

/**
 * The software bill of materials (CycloneDX 1.6): each package of which code is in the bundle, with its licence, the
 * hash of its archive, and what it uses. The same content gives the same text.
 */
export function sbom(program: Program, packages: readonly BundledPackage[], metafile: Metafile): string {
  const byFolder = new Map(packages.map((one) => [one.folder, refOf(one)]))
  const refs = (folders: Iterable<string>) => [...new Set([...folders].flatMap((folder) => byFolder.get(folder) ?? []))]
  const main = {'bom-ref': purlOf(program), purl: purlOf(program), ...partOf(program)}
  const content = {
    version: 1,
    metadata: {component: {type: 'application', ...main, description: program.description}},
    components: packages.map(componentOf),
    dependencies: [
      {ref: main['bom-ref'], dependsOn: refs(directImports(metafile, packages))},
      ...packages.map((one) => ({ref: refOf(one), dependsOn: refs(one.imports)})),
    ],
  }
  const id = sha256(JSON.stringify(content)).replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-4$3-8$4-$5')
  const bom = {bomFormat: 'CycloneDX', specVersion: '1.6', serialNumber: `urn:uuid:${id}`, ...content}
  return `${JSON.stringify(bom)}\n`
}

/** Two copies of one version, in different folders, are two parts. */
const refOf = (one: BundledPackage) =>
  one.folder === `node_modules/${one.name}` ? purlOf(one) : `${purlOf(one)}#${one.folder}`

const componentOf = (one: BundledPackage) => ({
  type: 'library',
  'bom-ref': refOf(one),
  ...partOf(one),
  purl: purlOf(one),
  ...(one.integrity === undefined ? {} : {hashes: hashesOf(one.integrity)}),
})

function partOf({name, version, license}: Pick<BundledPackage, 'name' | 'version' | 'license'>) {
  const [, group, own] = /^(@[^/]+)\/(.+)$/.exec(name) ?? [undefined, undefined, name]
  const licenses = /[ ()]/.test(license) ? [{expression: license}] : [{license: {id: license}}]
  return {...(group === undefined ? {} : {group}), name: own, version, licenses}
}

/** From `sha512-BASE64`. */
function hashesOf(integrity: string) {
  const [algorithm = '', base64 = ''] = integrity.split('-')
  const alg = {sha512: 'SHA-512', sha256: 'SHA-256', sha1: 'SHA-1'}[algorithm]
  return alg === undefined ? [] : [{alg, content: Buffer.from(base64, 'base64').toString('hex')}]
}
