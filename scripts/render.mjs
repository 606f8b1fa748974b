// Writes the files that are rendered from the code and shipped with it, from dist. A test holds them equal.
import {mkdirSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {shippedFiles} from '../dist/lib/service/shipped-files.js'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
for (const [name, text] of Object.entries(shippedFiles())) {
  mkdirSync(dirname(join(root, name)), {recursive: true})
  writeFileSync(join(root, name), text)
}
