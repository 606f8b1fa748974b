import {Command, Errors, ux} from '@oclif/core'
import type {ControlPlaneClient} from './lib/client/control-plane.ts'
import type {Resolved} from './lib/config/resolve.ts'
import {settingKeys, settingDefinition} from './lib/config/settings.ts'
import {currentDirectory, deletedDirectoryProblem} from './lib/core/paths/current-directory.ts'
import {ExpectedError, exitCodes, usageError} from './lib/core/errors.ts'
import {escapeHidden, showHidden} from './lib/core/text/hidden-characters.ts'
import {hideFromProc} from './lib/core/redaction/hide-from-proc.ts'
import {nearestNames} from './lib/core/text/nearest.ts'
import type {Asking} from './lib/ui/text/question-prompt.ts'
import type {Screen} from './lib/ui/text/fitted-table.ts'
import {commonFlags, flagsBySetting} from './flags.ts'
import type {Hyperlinks} from './hyperlinks.ts'

export type Context = Resolved & {
  stateDir: string
  /** Paths of the configuration files that were read. */
  configFiles: string[]
  /** Paths of default configuration files that exist but that this user may not read. */
  unreadable: string[]
}

type FlagValues = Record<string, unknown>

/** Base of all commands: settings, the client, interruption, and errors as text or JSON. */
export abstract class BaseCommand extends Command {
  static override baseFlags = commonFlags
  static override enableJsonFlag = true

  #isWarnedOfPlainHttp = false
  #links: Hyperlinks | undefined
  readonly #interrupt = new AbortController()

  /** The current directory. Undefined if it has been deleted. */
  protected readonly directory = currentDirectory()

  /** Aborted by `interrupt`. Commands call that at Ctrl-C or SIGTERM if they must clean up before they exit. */
  protected get signal(): AbortSignal {
    return this.#interrupt.signal
  }

  protected interrupt(): void {
    this.#interrupt.abort()
  }

  override async init(): Promise<void> {
    hideFromProc(process.env, process.argv)
    await super.init()
  }

  /** Resolves settings from flags, environment and files. Prints warnings to stderr. Throws ExpectedError (78). */
  protected async loadContext(flags: FlagValues): Promise<Context> {
    const context = await this.loadSettings(flags)
    for (const warning of context.warnings) this.logToStderr(`Warning: ${warning}`)
    return context
  }

  /** Like `loadContext`, but the caller handles the warnings. Throws ExpectedError (78). */
  protected async loadSettings(flags: FlagValues): Promise<Context> {
    const [{readConfigFiles}, {resolveConfig}, {stateDirectory}] = await Promise.all([
      import('./lib/config/file.ts'),
      import('./lib/config/resolve.ts'),
      import('./lib/config/state-directory.ts'),
    ])
    const named = flags['config']
    const {files, unreadable} = readConfigFiles(process.env, typeof named === 'string' ? named : undefined)
    const keys = settingKeys.filter((key) => settingDefinition(key).flag !== undefined)
    const resolve = (env: NodeJS.ProcessEnv) =>
      resolveConfig({flags: flagsBySetting(flags, keys), env, files, cwd: this.directory})
    const first = resolve(process.env)
    const isComplete = first.config.server_url !== undefined || files.length === 0
    const resolved = isComplete ? first : resolve({...(await this.#serviceVariables(files)), ...process.env})
    const stateDir = stateDirectory(process.env, resolved.config.state_dir)
    return {...resolved, stateDir, configFiles: files.map(({path}) => path), unreadable}
  }

  /** The configuration file of a service does not name its server if the unit does. */
  async #serviceVariables(files: readonly {path: string}[]): Promise<Record<string, string>> {
    const {serviceVariables} = await import('./lib/service/service-variables.ts')
    return Object.assign({}, ...files.map(({path}) => serviceVariables(path, process.env))) as Record<string, string>
  }

  /** A client for the configured control plane, or for the local one. Throws ExpectedError (69, 78). */
  protected async controlPlane(context: Context): Promise<ControlPlaneClient> {
    return (await this.clientFactory(context))()
  }

  /** Like `controlPlane`, but returns a factory. Each client has its own connections. */
  protected async clientFactory(context: Context): Promise<() => ControlPlaneClient> {
    const {config, stateDir, unreadable} = context
    const [{ControlPlaneClient}, {isLocalPlane}, {authToken}, {readLocalControlPlane}, {proxyFor}] = await Promise.all([
      import('./lib/client/control-plane.ts'),
      import('./lib/client/local-plane.ts'),
      import('./lib/config/token.ts'),
      import('./lib/config/local-control-plane.ts'),
      import('./lib/config/proxy.ts'),
    ])
    const findLocal = () => readLocalControlPlane(stateDir)
    const local = findLocal()
    const baseUrl = config.server_url ?? local?.url
    if (baseUrl === undefined)
      throw new ExpectedError('No control plane is configured, and none was started on this machine.', {
        code: 'NO_SERVER',
        exit: 'unreachable',
        suggestions: [
          'Start one with `a2a-worker start`, or give --server URL or A2A_SERVER_URL.',
          ...unreadable.map((path) => `${path} exists, but this user may not read it.`),
        ],
      })
    const localClient = () => new ControlPlaneClient({baseUrl, token: findLocal()?.token, local: findLocal})
    if (config.server_url === undefined) return localClient
    const token = authToken(config)
    // The address may be that of another control plane by now, which does not get the token.
    const isLocal = token === undefined && baseUrl.replace(/\/+$/, '') === local?.url && (await isLocalPlane(local))
    if (isLocal) return localClient
    if (token !== undefined) await this.checkPlainHttp(context)
    const proxy = proxyFor(baseUrl, {setting: config.proxy, env: process.env})
    return () => new ControlPlaneClient({baseUrl, token, proxy})
  }

  /**
   * Refuses to send a token to a public address without encryption in a new set-up. Otherwise warns of it, once. Throws
   * ExpectedError (78).
   */
  protected async checkPlainHttp(context: Context, {isQuiet = false} = {}): Promise<void> {
    const {server_url: server, insecure} = context.config
    if (server === undefined || !server.startsWith('http:')) return
    const {exposureOf, exposureText, isNewSetup, refusePlainHttp} = await import('./lib/config/plain-http.ts')
    if (!insecure && isNewSetup(context, process.env, context.stateDir)) refusePlainHttp(server)
    if (exposureOf(server) === 'none' || this.#isWarnedOfPlainHttp || isQuiet) return
    this.#isWarnedOfPlainHttp = true
    this.logToStderr(`Warning: ${exposureText(server)}.`)
  }

  /** Where to ask a person, if there is a terminal. */
  protected async asking(config: Context['config']): Promise<Asking | undefined> {
    if (!process.stdin.isTTY || !process.stdout.isTTY || this.jsonEnabled()) return undefined
    const {inputSigner} = await import('./lib/signing/sign-input.ts')
    const onInterrupt = () => void process.emit('SIGINT')
    return {input: process.stdin, output: process.stderr, sign: inputSigner(config), onInterrupt}
  }

  /** How tables are shown: on a terminal they fit it, and have colours. */
  protected async screen(flags: FlagValues): Promise<Screen> {
    const {paintFor, unpainted} = await import('./lib/ui/text/paint.ts')
    const width = process.stdout.isTTY ? process.stdout.columns : undefined
    return {width, paint: flags['no-color'] ? unpainted : paintFor(process.stdout)}
  }

  /** Makes this word a link in all that follows, on a terminal that shows links. */
  protected async link(word: string, url: string): Promise<void> {
    if (!process.stdout.isTTY) return
    const {Hyperlinks} = await import('./hyperlinks.ts')
    this.#links ??= new Hyperlinks()
    this.#links.add(word, url)
  }

  /** What a command prints may contain texts of others, so hidden characters are shown as codes. */
  override log(message = '', ...rest: unknown[]): void {
    super.log(this.#linked(visible(message), 'stdout'), ...rest)
  }

  override logToStderr(message = '', ...rest: unknown[]): void {
    super.logToStderr(this.#linked(visible(message), 'stderr'), ...rest)
  }

  #linked(text: string, stream: 'stdout' | 'stderr'): string {
    return this.#links?.apply(text, stream) ?? text
  }

  protected override logJson(json: unknown): void {
    ux.stdout(escapeHidden(JSON.stringify(json, null, 2)))
  }

  override async catch(error: Error & {exitCode?: number}): Promise<unknown> {
    // A command that has said what there is to say.
    if (error instanceof Errors.ExitError) throw error
    if (this.#interrupt.signal.aborted && !(error instanceof ExpectedError))
      return this.fail(error, exitCodes.interrupted, 'Interrupted.')
    const expected = error instanceof ExpectedError ? error : deletedDirectoryProblem(error)
    if (expected) return this.fail(expected, expected.exitCode, expected.message, expected.suggestions)
    // Errors of oclif: a missing or unknown flag, or an extra argument.
    if (error instanceof Errors.CLIError)
      return this.fail(
        usageError(withoutHint(error.message)),
        exitCodes.usage,
        withoutHint(error.message),
        this.#usageHints(error),
      )
    this.logToStderr(error.stack ?? String(error))
    return this.fail(error, exitCodes.bug, 'This is a bug in a2a-worker. The lines above show where.')
  }

  /** The nearest names of mistyped flags, and where the flags are listed. */
  #usageHints(error: Error & {flags?: unknown}): string[] {
    const help = `All flags: ${this.config.bin} ${this.id?.replaceAll(':', ' ') ?? ''} --help`
    const unknown = Array.isArray(error.flags) ? error.flags.filter((flag) => typeof flag === 'string') : []
    const known = Object.keys({...this.ctor.flags, ...this.ctor.baseFlags, json: true, help: true})
    const near = unknown.flatMap((flag) => nearestNames(flag.replace(/^-+/, ''), known, 2))
    return [...(near.length > 0 ? [`Did you mean ${near.map((name) => `--${name}`).join(' or ')}?`] : []), help]
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

/** What a terminal gets: hidden characters of texts of others are shown as codes. */
export const visible = (text: string) => showHidden(text, {kept: '\n\t', keepsColours: true})

/** oclif ends its messages with a hint that names no command. */
const withoutHint = (message: string) => message.replace(/\n?See more help with --help$/, '')
