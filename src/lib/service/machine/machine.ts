import {execa} from 'execa'
import {lstatSync, readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import type {Environment} from '../../config/file.ts'
import {ExpectedError, errorCode, messageOf} from '../../core/errors.ts'
import {serviceUser} from './layout.ts'

/** Whose a file is: root's, the service's user's, or whoever's installs. */
export type Owner = 'root' | 'service' | 'self'

export type CommandResult = {code: number; stdout: string; stderr: string}

/** The machine that a service is installed on, or a folder that stands for its file system. */
export class Machine {
  readonly #root: string
  readonly #env: Environment
  /** Whether it runs: commands are to be run, and files to be given to users. */
  readonly isLive: boolean
  #service: {uid: number; gid: number} | undefined

  /** With `root`, everything is below it, and nothing is run. */
  constructor({root, env}: {root?: string | undefined; env: Environment}) {
    this.#root = root ?? ''
    this.#env = env
    this.isLive = root === undefined
  }

  /** Where a file of the machine really is. */
  realPath(path: string): string {
    return this.#root === '' ? path : join(this.#root, path)
  }

  exists(path: string): boolean {
    return lstatSync(this.realPath(path), {throwIfNoEntry: false}) !== undefined
  }

  /** Undefined when there is none. Throws ExpectedError (77) when this user may not read it. */
  read(path: string): string | undefined {
    try {
      return readFileSync(this.realPath(path), 'utf8')
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
      throw new ExpectedError(`${path} cannot be read: ${messageOf(error)}.`, {
        code: 'CANNOT_READ',
        exit: 'refused',
        suggestions: ['Run this as root (sudo).'],
        cause: error,
      })
    }
  }

  list(folder: string): string[] {
    try {
      return readdirSync(this.realPath(folder))
    } catch {
      return []
    }
  }

  /** The numbers of an owner; undefined where files are whoever's writes them. */
  async ids(owner: Owner): Promise<{uid: number; gid: number} | undefined> {
    if (!this.isLive || owner === 'self') return undefined
    if (owner === 'root') return {uid: 0, gid: 0}
    this.#service ??= await this.#lookUp(serviceUser)
    // Somebody whom nothing belongs to yet.
    return this.#service ?? {uid: -1, gid: -1}
  }

  async #lookUp(user: string): Promise<{uid: number; gid: number} | undefined> {
    const [uid, gid] = await Promise.all([this.run(['id', '-u', user]), this.run(['id', '-g', user])])
    return uid.code === 0 && gid.code === 0 ? {uid: Number(uid.stdout), gid: Number(gid.stdout)} : undefined
  }

  /** Runs a command to its end, whatever that is. */
  async run(command: readonly string[], options: {cwd?: string} = {}): Promise<CommandResult> {
    const [program = '', ...args] = command
    const result = await execa(program, args, {env: {...this.#env}, extendEnv: false, reject: false, ...options})
    return {code: result.exitCode ?? 127, stdout: result.stdout, stderr: result.stderr || (result.shortMessage ?? '')}
  }

  /** Runs a command that is to succeed. Throws ExpectedError (1). */
  async mustRun(command: readonly string[]): Promise<string> {
    const {code, stdout, stderr} = await this.run(command)
    if (code === 0) return stdout
    throw new ExpectedError(`\`${command.join(' ')}\` failed: ${messageOf(stderr.trim() || `exit code ${code}`)}`, {
      code: 'SERVICE_COMMAND',
      exit: 'failed',
      suggestions: ['Run it by hand to see more, then this command again: it goes on where it stopped.'],
    })
  }
}
