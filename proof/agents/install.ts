import {execFileSync} from 'node:child_process'
import {existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'

/** The agents from npm, with the versions that were tried. */
export const packages = {
  '@agentclientprotocol/claude-agent-acp': '0.101.0',
  '@agentclientprotocol/codex-acp': '2.6.0',
  '@google/gemini-cli': '0.61.0',
}

type Name = keyof typeof packages

/** The version that is installed. Undefined if there is none. */
function installed(folder: string, name: Name): string | undefined {
  const file = join(folder, 'node_modules', name, 'package.json')
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as {version: string}).version : undefined
}

/** Installs the agents in this folder. Returns the folder of their programs. */
export function installAgents(folder: string, isLatest: boolean): {bin: string; versionOf: (name: Name) => string} {
  const names = Object.keys(packages) as Name[]
  const wanted = names.filter((name) => isLatest || installed(folder, name) !== packages[name])
  if (wanted.length > 0) {
    mkdirSync(folder, {recursive: true})
    if (!existsSync(join(folder, 'package.json'))) writeFileSync(join(folder, 'package.json'), '{"private": true}\n')
    const specs = wanted.map((name) => `${name}@${isLatest ? 'latest' : packages[name]}`)
    execFileSync('npm', ['install', '--no-fund', '--no-audit', '--loglevel=error', ...specs], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  }
  return {bin: join(folder, 'node_modules/.bin'), versionOf: (name) => installed(folder, name) ?? 'none'}
}
