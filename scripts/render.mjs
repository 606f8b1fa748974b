// Writes the shipped files that are generated from the code (from dist). A test checks that they are up to date.
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {shippedFiles} from '../dist/lib/service/units/shipped-files.js'
import {generatedPages} from './reference/pages.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
for (const [name, text] of Object.entries(shippedFiles())) {
  mkdirSync(dirname(join(root, name)), {recursive: true})
  writeFileSync(join(root, name), text)
}

// oclif lists commands in the order of the file system. Sort them, so that the file is reproducible.
const manifest = join(root, 'oclif.manifest.json')
const {commands, ...rest} = JSON.parse(readFileSync(manifest, 'utf8'))
const sorted = Object.fromEntries(Object.entries(commands).sort(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(manifest, JSON.stringify({commands: sorted, ...rest}, null, 2))

for (const [name, text] of Object.entries(generatedPages(root))) writeFileSync(join(root, name), text)
