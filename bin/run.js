#!/usr/bin/env node
// Only built-in modules are imported statically: other imports could fail on an older Node before the message below.
import module from 'node:module'
import {readFileSync} from 'node:fs'
import {homedir, userInfo} from 'node:os'
import {dirname} from 'node:path'
import {fileURLToPath} from 'node:url'

// A reader that closes a pipe early is not an error. Without a reader of stdout (`| head`) nothing is left to do.
process.stdout.on('error', ({code}) => {
  if (code === 'EPIPE') process.exit()
})

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `a2a-worker needs Node.js 22.19 or newer; this is ${process.versions.node} (${process.execPath}).\n` +
      `  → Try: npx -p node-${process.platform}-${process.arch}@24 node ${fileURLToPath(import.meta.url)} …\n`,
  )
  process.exit(78)
}

const program = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))

const lookUp = (find) => {
  try {
    return find()
  } catch {
    return undefined
  }
}

async function start() {
  // Without a reader of stderr the command goes on: Ctrl-C in `start 2>&1 | tee log` ends `tee` at once, and the worker
  // must drain.
  process.stderr.on('error', () => {})
  // A container may run as a uid that has no entry in passwd. Node throws there, and oclif asks for both.
  if (!process.env['SHELL'] && lookUp(userInfo) === undefined) process.env['SHELL'] = '/bin/sh'
  if (!process.env['HOME'] && !lookUp(homedir)) {
    process.stderr.write(
      `a2a-worker needs a home directory: HOME is not set, and uid ${process.getuid?.()} has no entry in passwd. Set HOME=DIRECTORY.\n`,
    )
    process.exitCode = 78
    return
  }

  module.enableCompileCache?.()
  const {execute} = await import('@oclif/core')
  await execute({loadOptions: {root: dirname(dirname(fileURLToPath(import.meta.url))), pjson: program}})
}

const [first] = process.argv.slice(2)
const isVersion = process.argv.length === 3 && (first === '--version' || first === '-v')
if (isVersion)
  process.stdout.write(`a2a-worker/${program.version} ${process.platform}-${process.arch} node-${process.version}\n`)

/** Resolves when the command has returned, for those who import this file. The package has no top-level await: it is CommonJS. */
export const returned = isVersion ? undefined : start()
