// Writes what is published: the folder `package` with the bundle, and its archive. `--to DIR` instead of `build`.
import {execFileSync} from 'node:child_process'
import {mkdirSync, rmSync, writeFileSync} from 'node:fs'
import {dirname, join, resolve} from 'node:path'
import {parseArgs} from 'node:util'
import {bundle} from './bundle.ts'
import {bundledPackages} from './bundled-packages.ts'
import {copyDocuments} from './documents.ts'
import {thirdPartyLicenses} from './licenses.ts'
import {writeCommandList, writePackageJson} from './manifest.ts'
import {sbom} from './sbom.ts'

const root = dirname(dirname(import.meta.dirname))
const {values} = parseArgs({options: {to: {type: 'string', default: join(root, 'build')}}})
const folder = resolve(values.to)
const target = join(folder, 'package')
rmSync(target, {recursive: true, force: true})
mkdirSync(target, {recursive: true})

const metafile = await bundle(root, target)
const packages = bundledPackages(root, metafile)
const documents = copyDocuments(root, target)
const generated = ['bin', 'dist', 'oclif.manifest.json', 'THIRD-PARTY-LICENSES.txt', 'sbom.cdx.json']
const program = writePackageJson(root, target, [...generated, ...documents])
await writeCommandList(target)
writeFileSync(join(target, 'THIRD-PARTY-LICENSES.txt'), thirdPartyLicenses(root, packages))
writeFileSync(join(target, 'sbom.cdx.json'), sbom(program, packages, metafile))

const pack = ['pack', target, '--json', '--silent', '--pack-destination', folder]
const answer: unknown = JSON.parse(execFileSync('npm', pack, {cwd: root, encoding: 'utf8'}))
const [{filename, size}] = Object.values(answer as object) as [{filename: string; size: number}]
process.stdout.write(
  `${join(folder, filename)}: ${(size / 1e6).toFixed(2)} MB, with code of ${packages.length} packages\n`,
)
