import {execa} from 'execa'
import {lstatSync, readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import type {Environment} from '../../config/file.ts'
import {ExpectedError, errorCode, messageOf} from '../../core/errors.ts'
import {serviceUser} from './layout.ts'
import type {Walk} from './open-folder.ts'

/**
 * Owner of a file: root, root with the group of the service, which may read it (`shared`), the service's user, the
 * installing user (`self`), or a user by name.
 */
export type Owner = 'root' | 'shared' | 'service' | 'self' | {user: string}

export type RunOptions = {cwd?: string; input?: string}

export type CommandResult = {code: number; stdout: string; stderr: string}

/** The machine that a service is installed on, or a folder with its file system (`--root`). */
export class Machine {
  readonly #root: string
  readonly #env: Environment
  /** False with `--root`: no command runs and no owner is set. */
  readonly isLive: boolean
  #service: {uid: number; gid: number} | undefined

  /** With `root`, all paths are below that folder, and no command runs. */
  constructor({root, env}: {root?: string | undefined; env: Environment}) {
    this.#root = root ?? ''
    this.#env = env
    this.isLive = root === undefined
  }

  /** How files are written here. */
  get walk(): Walk {
    return {root: this.#root, isRoot: process.getuid?.() === 0}
  }

  /** The real path of a file of the machine. */
  realPath(path: string): string {
    return this.#root === '' ? path : join(this.#root, path)
  }

  /** Throws ExpectedError (77) if this user may not look there. */
  exists(path: string): boolean {
    try {
      return lstatSync(this.realPath(path), {throwIfNoEntry: false}) !== undefined
    } catch (error) {
      throw cannotRead(path, error)
    }
  }

  /** The text of a file; undefined if it does not exist. Throws ExpectedError (77) if this user may not read it. */
  read(path: string): string | undefined {
    try {
      return readFileSync(this.realPath(path), 'utf8')
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
      throw cannotRead(path, error)
    }
  }

  /** The names in a folder; empty if it does not exist. */
  list(folder: string): string[] {
    try {
      return readdirSync(this.realPath(folder))
    } catch {
      return []
    }
  }

  /** uid and gid of an owner. Undefined if files keep the owner who writes them. */
  async ids(owner: Owner): Promise<{uid: number; gid: number} | undefined> {
    if (!this.isLive || owner === 'self') return undefined
    if (owner === 'root') return {uid: 0, gid: 0}
    if (typeof owner === 'object') return this.lookUp(owner.user)
    this.#service ??= await this.lookUp(serviceUser)
    // The user does not exist yet, so no file belongs to it.
    const ids = this.#service ?? {uid: -1, gid: -1}
    return owner === 'shared' ? {uid: 0, gid: ids.gid} : ids
  }

  /** uid and gid of a user; undefined if there is none. */
  async lookUp(user: string): Promise<{uid: number; gid: number} | undefined> {
    const [uid, gid] = await Promise.all([this.run(['id', '-u', user]), this.run(['id', '-g', user])])
    return uid.code === 0 && gid.code === 0 ? {uid: Number(uid.stdout), gid: Number(gid.stdout)} : undefined
  }

  /** Runs a command and returns its result, also if it fails. */
  async run(command: readonly string[], {cwd = '/', input = ''}: RunOptions = {}): Promise<CommandResult> {
    const [program = '', ...args] = command
    const result = await execa(program, args, {env: {...this.#env}, extendEnv: false, reject: false, cwd, input})
    return {code: result.exitCode ?? 127, stdout: result.stdout, stderr: result.stderr || (result.shortMessage ?? '')}
  }

  /** Runs a command and returns its stdout. Throws ExpectedError (1) if it fails. */
  async mustRun(command: readonly string[]): Promise<string> {
    const {code, stdout, stderr} = await this.run(command)
    if (code === 0) return stdout
    throw new ExpectedError(`\`${command.join(' ')}\` failed: ${messageOf(stderr.trim() || `exit code ${code}`)}`, {
      code: 'SERVICE_COMMAND',
      exit: 'failed',
      suggestions: ['Run that command by hand to see more. Then run this one again: it continues where it stopped.'],
    })
  }
}

const cannotRead = (path: string, error: unknown) =>
  new ExpectedError(`${path} cannot be read: ${messageOf(error)}.`, {
    code: 'CANNOT_READ',
    exit: 'refused',
    suggestions: ['Run this as root (sudo).'],
    cause: error,
  })
