import {Command, Errors} from '@oclif/core'
import type {ControlPlaneClient} from './lib/client/control-plane.ts'
import type {Resolved} from './lib/config/resolve.ts'
import {settingKeys, settingDefinition} from './lib/config/settings.ts'
import {ExpectedError, exitCodes} from './lib/core/errors.ts'
import {commonFlags, flagsBySetting} from './flags.ts'

export type Context = Resolved & {
  stateDir: string
  /** Configuration files that are there, good and used. */
  configFiles: string[]
  unreadable: string[]
}

type FlagValues = Record<string, unknown>

/** What all commands share: settings, the client, signals, and errors as people and programs want them. */
export abstract class BaseCommand extends Command {
  static override baseFlags = commonFlags
  static override enableJsonFlag = true

  readonly #interrupt = new AbortController()

  /** Aborted by `interrupt`, which commands call at Ctrl-C and SIGTERM where there is more to do than to leave. */
  protected get signal(): AbortSignal {
    return this.#interrupt.signal
  }

  protected interrupt(): void {
    this.#interrupt.abort()
  }

  /** Settings from flags, environment and files. Warnings go to stderr. */
  protected async loadContext(flags: FlagValues): Promise<Context> {
    const context = await this.loadSettings(flags)
    for (const warning of context.warnings) this.logToStderr(`Warning: ${warning}`)
    return context
  }

  /** The same; what becomes of the warnings is the caller's business. Throws ExpectedError (78). */
  protected async loadSettings(flags: FlagValues): Promise<Context> {
    const [{readConfigFiles}, {resolveConfig}, {stateDirectory}] = await Promise.all([
      import('./lib/config/file.ts'),
      import('./lib/config/resolve.ts'),
      import('./lib/config/state-directory.ts'),
    ])
    const named = flags['config']
    const {files, unreadable} = readConfigFiles(process.env, typeof named === 'string' ? named : undefined)
    const keys = settingKeys.filter((key) => settingDefinition(key).flag !== undefined)
    const resolved = resolveConfig({flags: flagsBySetting(flags, keys), env: process.env, files, cwd: process.cwd()})
    const stateDir = stateDirectory(process.env, resolved.config.state_dir)
    return {...resolved, stateDir, configFiles: files.map(({path}) => path), unreadable}
  }

  /** The control plane that was named, else the one that runs on this machine. Throws ExpectedError (69, 78). */
  protected async controlPlane(context: Context): Promise<ControlPlaneClient> {
    return (await this.clientFactory(context))()
  }

  /** The same, for those who want several, each with connections of its own. */
  protected async clientFactory({config, stateDir, unreadable}: Context): Promise<() => ControlPlaneClient> {
    const [{ControlPlaneClient}, {authToken}, {readLocalControlPlane}] = await Promise.all([
      import('./lib/client/control-plane.ts'),
      import('./lib/config/token.ts'),
      import('./lib/config/local-control-plane.ts'),
    ])
    const local = readLocalControlPlane(stateDir)
    const baseUrl = config.server_url ?? local?.url
    if (baseUrl === undefined)
      throw new ExpectedError('No control plane is known: no server was named, and none was started on this machine.', {
        code: 'NO_SERVER',
        exit: 'unreachable',
        suggestions: [
          'Start one here with `a2a-worker start`, or name one with --server or A2A_SERVER_URL.',
          ...unreadable.map((path) => `${path} is there, but this user may not read it.`),
        ],
      })
    const isLocal = local !== undefined && baseUrl.replace(/\/+$/, '') === local.url
    const token = authToken(config) ?? (isLocal ? local.token : undefined)
    return () => new ControlPlaneClient({baseUrl, token})
  }

  override async init(): Promise<void> {
    await super.init()
    // A reader that has seen enough (`| head`) is no failure of ours.
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(exitCodes.ok)
    })
  }

  override async catch(error: Error & {exitCode?: number}): Promise<unknown> {
    if (this.#interrupt.signal.aborted && !(error instanceof ExpectedError))
      return this.fail(error, exitCodes.interrupted, 'Interrupted.')
    if (error instanceof ExpectedError) return this.fail(error, error.exitCode, error.message, error.suggestions)
    // oclif's own: a flag that is missing or unknown, an argument too many, or a plain exit.
    if (error instanceof Errors.ExitError) throw error
    if (error instanceof Errors.CLIError) return this.fail(error, exitCodes.usage, error.message)
    this.logToStderr(error.stack ?? String(error))
    return this.fail(error, exitCodes.bug, 'This is a bug in a2a-worker; the lines above say where.')
  }

  private fail(error: Error, code: number, message: string, suggestions: string[] = []): never {
    if (this.jsonEnabled())
      this.logJson({
        error: {code: error instanceof ExpectedError ? error.code : error.name, message, exit: code, suggestions},
      })
    else {
      this.logToStderr(`Error: ${message}`)
      for (const suggestion of suggestions) this.logToStderr(`  → ${suggestion}`)
    }

    return this.exit(code)
  }
}
