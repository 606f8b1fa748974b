// Writes the files that are rendered from the code and shipped with it, from dist. A test holds them equal.
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {shippedFiles} from '../dist/lib/service/units/shipped-files.js'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
for (const [name, text] of Object.entries(shippedFiles())) {
  mkdirSync(dirname(join(root, name)), {recursive: true})
  writeFileSync(join(root, name), text)
}

// oclif lists the commands as the file system does; sorted, the same commands are the same file.
const manifest = join(root, 'oclif.manifest.json')
const {commands, ...rest} = JSON.parse(readFileSync(manifest, 'utf8'))
const sorted = Object.fromEntries(Object.entries(commands).sort(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(manifest, JSON.stringify({commands: sorted, ...rest}, null, 2))
