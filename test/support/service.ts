import {mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import {onTestFinished} from 'vitest'
import {resolveConfig} from '../../src/lib/config/resolve.ts'
import {systemClock} from '../../src/lib/core/clock.ts'
import {installService, type ServiceReport} from '../../src/lib/service/install.ts'
import {serviceLayout} from '../../src/lib/service/machine/layout.ts'
import {Machine} from '../../src/lib/service/machine/machine.ts'
import {uninstallService} from '../../src/lib/service/uninstall.ts'
import {scratchFolder} from './scratch.ts'

export type Asked = {
  name?: string
  isUser?: boolean
  isDryRun?: boolean
  purge?: boolean
  /** Settings as the flags set them. */
  settings?: Record<string, unknown>
  configFile?: {path: string; directory: string; content: Record<string, unknown>; isPublic: boolean}
}

/** A folder that represents a machine, and a small program to install there. Both are deleted after the test. */
export function scratchMachine() {
  const scratch = scratchFolder()
  onTestFinished(() => scratch[Symbol.dispose]())
  const root = join(scratch.path, 'machine')
  const program = {root: join(scratch.path, 'program'), node: join(scratch.path, 'node')}
  const write = (path: string, text: string) => {
    mkdirSync(dirname(path), {recursive: true})
    writeFileSync(path, text)
  }
  write(join(program.root, 'package.json'), '{"name": "a2a-worker", "files": ["bin"]}')
  write(join(program.root, 'bin/run.js'), 'first\n')
  write(program.node, 'node\n')
  const env = {HOME: '/home/me'}
  const about = (asked: Asked) => {
    const lines: string[] = []
    return {
      lines,
      options: {
        machine: new Machine({root, env}),
        layout: serviceLayout({isUser: asked.isUser ?? false, name: asked.name, hostname: 'box', env}),
        hostname: 'box',
        isDryRun: asked.isDryRun ?? false,
        print: (text: string) => void lines.push(text),
      },
    }
  }
  return {
    root,
    program,
    path: (path: string) => join(root, path),
    read: (path: string) => readFileSync(join(root, path), 'utf8'),
    write: (path: string, text: string) => write(join(root, path), text),
    writeProgram: (path: string, text: string) => write(join(program.root, path), text),
    async install(asked: Asked = {}): Promise<ServiceReport & {lines: string[]}> {
      const {lines, options} = about(asked)
      const {config} = resolveConfig({flags: asked.settings ?? {}, env: {}, files: [], cwd: '/srv'})
      const report = await installService({
        ...options,
        request: {
          server: config.server_url,
          codebases: config.codebases,
          openCode: config.opencode_bin,
          token: config.auth_token,
          configFile: asked.configFile,
        },
        program,
        user: {id: 1000, name: 'me'},
        env,
        clock: systemClock,
        start: false,
      })
      return {...report, lines}
    },
    async uninstall(asked: Asked = {}): Promise<ServiceReport & {lines: string[]}> {
      const {lines, options} = about(asked)
      const report = await uninstallService({...options, uid: 1000, purge: asked.purge ?? false})
      return {...report, lines}
    },
  }
}
