import {Flags} from '@oclif/core'
import {BaseCommand, type Context} from '../base-command.ts'
import {settingFlags} from '../flags.ts'
import {ExpectedError, exitCodes, messageOf, usageError} from '../lib/core/errors.ts'
import {type Given, type Permissions, permissionChoices, type QuestionOptions, type Setup} from '../wizard/questions.ts'

export type InitReport = Omit<Setup, 'token'> & {file: string; has_token: boolean; tested: boolean}

const testPrompt = 'Reply with the word "ready". Change no files.'

export default class Init extends BaseCommand {
  static override summary = 'Set up this machine: asks a few questions, and ends with a test task'
  static override description =
    'Asks where tasks come from, for the token, the codebases and the permissions, and whether to install a service. Each answer can be given as a flag; with --yes nothing is asked, and the rest keeps its default. The token comes from A2A_AUTH_TOKEN, or is asked for. Nothing is written before the last answer. Run it again to change the set-up.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --local --codebase . --yes',
    'A2A_AUTH_TOKEN=… <%= config.bin %> <%= command.id %> --server https://plane.example --codebase /srv/api --permissions ask --yes',
  ]
  static override flags = {
    ...settingFlags('opencode_bin'),
    local: Flags.boolean({summary: 'Tasks come from this machine', exclusive: ['server']}),
    codebase: Flags.string({
      summary: 'Directory that agents may work in; repeatable',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'PATH',
    }),
    permissions: Flags.string({
      summary: 'usual: work in the codebase without asking; ask: ask first; allow: everything',
      options: [...permissionChoices],
    }),
    service: Flags.boolean({summary: 'Install and start a service of this user', allowNo: true}),
    test: Flags.boolean({summary: 'End with a test task', allowNo: true}),
    yes: Flags.boolean({char: 'y', summary: 'Ask nothing'}),
  }

  async run(): Promise<InitReport> {
    const {flags} = await this.parse(Init)
    const isAsking = process.stdin.isTTY && process.stderr.isTTY && !flags.yes && !this.jsonEnabled()
    if (!isAsking && !flags.yes)
      throw usageError('init asks questions, and there is no terminal.', 'Give the answers as flags, and --yes.')
    const context = await this.loadContext(flags)
    await this.#findOpenCode(context)
    const given = await this.#given(flags, context)
    const setup = isAsking ? await this.#ask(given, context) : await this.#withDefaults(given, context)
    const file = await this.#write(setup)
    if (setup.isService) await this.#installService(setup)
    const tested = await this.#test(setup, flags.test ?? (isAsking ? undefined : false))
    this.logToStderr(
      nextSteps(setup)
        .map((step) => `  → ${step}`)
        .join('\n'),
    )
    const {token, ...shown} = setup
    return {...shown, file, has_token: token !== undefined, tested}
  }

  /** Before any question: without an agent nothing else matters. Throws ExpectedError (78). */
  async #findOpenCode({config, stateDir}: Context): Promise<void> {
    const [{localOpenCode}, {probeOpenCode}] = await Promise.all([
      import('../lib/opencode/program/local-opencode.ts'),
      import('../lib/opencode/program/probe.ts'),
    ])
    const openCode = localOpenCode({config, stateDir, root: this.config.root, env: process.env})
    const {version} = await probeOpenCode(openCode.binary, openCode.env(openCode.directory), {signal: this.signal})
    this.logToStderr(`OpenCode ${version} at ${openCode.binary}`)
  }

  async #given(
    flags: {
      local: boolean
      codebase?: string[] | undefined
      permissions?: string | undefined
      service?: boolean | undefined
    } & Record<string, unknown>,
    {config, stateDir}: Context,
  ): Promise<Given> {
    const [{resolve}, {authToken}] = await Promise.all([import('node:path'), import('../lib/config/token.ts')])
    const permissions = permissionChoices.find((choice) => choice === flags.permissions)
    const token = authToken(config)
    const codebases = flags.codebase?.map((path) => resolve(path))
    const codebaseProblem = await this.#codebaseCheck(stateDir)
    for (const path of codebases ?? []) {
      const problem = codebaseProblem(path)
      if (problem !== undefined) throw usageError(problem)
    }
    return {
      isLocal: flags.local,
      ...(typeof flags['server'] === 'string' ? {server: flags['server'].replace(/\/+$/, '')} : {}),
      ...(token === undefined ? {} : {token}),
      ...(codebases ? {codebases} : {}),
      ...(permissions ? {permissions} : {}),
      ...(flags.service === undefined ? {} : {isService: flags.service}),
    }
  }

  async #ask(given: Given, context: Context): Promise<Setup> {
    const {askSetup} = await import('../wizard/questions.ts')
    try {
      const setup = await askSetup(await this.#questions(given, context), {output: process.stderr, signal: this.signal})
      const {resolve} = await import('node:path')
      return {...setup, codebases: setup.codebases.map((path) => resolve(path))}
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'ExitPromptError') throw error
      this.logToStderr('Nothing was changed.')
      return this.exit(exitCodes.interrupted)
    }
  }

  async #questions(given: Given, {stateDir}: Context): Promise<QuestionOptions> {
    const [{nearbyCodebases}, {homedir}, {existsSync}] = await Promise.all([
      import('../lib/daemon/nearby-codebases.ts'),
      import('node:os'),
      import('node:fs'),
    ])
    const codebaseProblem = await this.#codebaseCheck(stateDir)
    const isUsable = (path: string) => codebaseProblem(path) === undefined
    const {directory = homedir()} = this
    const nearby = nearbyCodebases(directory, homedir()).filter(isUsable)
    const isListed = nearby.includes(directory) || !isUsable(directory)
    return {
      given,
      nearby: isListed ? nearby : [...nearby, directory],
      canServe: process.platform === 'linux' && existsSync('/run/systemd/system'),
      checkServer: (url) => this.#serverProblem(url),
      checkToken: (url, token) => this.#tokenProblem(url, token),
      checkCodebase: codebaseProblem,
    }
  }

  /** Returns the check of a path that is given, chosen or found: why it cannot be a codebase, or undefined. */
  async #codebaseCheck(stateDir: string): Promise<(path: string) => string | undefined> {
    const [{directoryProblem}, {directoryProblem: projectProblem}] = await Promise.all([
      import('../lib/worker/registration/directory-problem.ts'),
      import('../lib/daemon/local-start.ts'),
    ])
    return (path) => {
      const missing = directoryProblem(path)
      if (missing !== undefined) return `${path} cannot be a codebase: ${missing}.`
      const problem = projectProblem({env: process.env, stateDir, directory: path})
      return problem && `Not ${problem}.`
    }
  }

  async #serverProblem(url: string): Promise<string | undefined> {
    if (!/^https?:\/\//.test(url) || !URL.canParse(url)) return 'Give an address like https://plane.example.'
    const [{ControlPlaneClient}, {refusePlainHttp}] = await Promise.all([
      import('../lib/client/control-plane.ts'),
      import('../lib/config/plain-http.ts'),
    ])
    try {
      refusePlainHttp(url)
      await using client = new ControlPlaneClient({baseUrl: url, token: undefined})
      await client.healthWithDate()
      return undefined
    } catch (error) {
      return messageOf(error)
    }
  }

  async #tokenProblem(url: string, token: string): Promise<string | undefined> {
    const {ControlPlaneClient} = await import('../lib/client/control-plane.ts')
    try {
      await using client = new ControlPlaneClient({baseUrl: url, token: token === '' ? undefined : token})
      await client.workers(this.signal)
      return undefined
    } catch (error) {
      return messageOf(error)
    }
  }

  /** Without questions. Throws ExpectedError: the server or its token cannot be used. */
  async #withDefaults(given: Given, context: Context): Promise<Setup> {
    const {server, token, permissions = 'usual', isService = false} = given
    const {nearby} = await this.#questions(given, context)
    const problem =
      server === undefined
        ? undefined
        : ((await this.#serverProblem(server)) ?? (await this.#tokenProblem(server, token ?? '')))
    if (problem !== undefined)
      throw new ExpectedError(`${server ?? ''} cannot be used: ${problem}`, {code: 'BAD_SERVER', exit: 'unreachable'})
    if (isService && server === undefined)
      throw usageError(
        'A service needs a control plane that others can reach.',
        'Give --server URL, or leave out --service.',
      )
    const codebases = given.codebases ?? nearby.slice(0, 1)
    if (codebases.length === 0) throw usageError('There is no codebase here.', 'Name one with --codebase PATH.')
    return {server, token, codebases, permissions, isService}
  }

  /** Writes it all to the configuration of this user. Returns the file. Throws ExpectedError (73). */
  async #write({server, token, codebases, permissions}: Setup): Promise<string> {
    const [{openUserConfig}, {basename}] = await Promise.all([
      import('../lib/config/user-config.ts'),
      import('node:path'),
    ])
    const config = openUserConfig(process.env)
    config.set('server_url', server)
    if (server !== undefined) config.set('auth_token', token)
    config.set('permissions', permissions === 'usual' ? undefined : permissions)
    for (const path of codebases) config.add({name: basename(path) || path, path, description: ''})
    this.log(`Wrote ${config.file}.`)
    return config.file
  }

  async #installService({server, codebases}: Setup): Promise<void> {
    const places = codebases.flatMap((path) => ['--codebase', path])
    const code = await this.#runProgram(['install-service', '--user', '--server', server ?? '', ...places, '--start'])
    if (code !== 0)
      throw new ExpectedError('The service was not installed. The configuration is written.', {
        code: 'SERVICE',
        exit: 'failed',
        suggestions: ['Run `a2a-worker install-service --user --start` when that is mended.'],
      })
  }

  /** Undefined `wanted`: the user is asked. Resolves with whether a test task has completed. */
  async #test({codebases, permissions}: Setup, wanted: boolean | undefined): Promise<boolean> {
    const [codebase] = codebases
    const {askTest} = await import('../wizard/questions.ts')
    const isWanted = wanted ?? (await askTest({output: process.stderr, signal: this.signal}).catch(() => false))
    if (!isWanted || codebase === undefined) return false
    this.logToStderr(`Running a test task in ${codebase}`)
    // Nobody is asked in a test: it only has to show that the model answers.
    const env = permissions === 'ask' ? {A2A_PERMISSIONS: 'deny'} : {}
    const words = ['run', testPrompt, '--title', 'Test of a2a-worker init']
    return (await this.#runProgram(words, {cwd: codebase, env})) === 0
  }

  /** Runs another command of this program, as the user would. With --json its output goes to stderr. Resolves with its exit code. */
  async #runProgram(words: readonly string[], {cwd, env = {}}: {cwd?: string; env?: object} = {}): Promise<number> {
    const [{execa}, {join}] = await Promise.all([import('execa'), import('node:path')])
    const {exitCode} = await execa(process.execPath, [join(this.config.root, 'bin/run.js'), ...words], {
      ...{cwd: cwd ?? this.directory ?? '/', env: {...process.env, ...env}, reject: false},
      ...{stdin: 'inherit', stdout: this.jsonEnabled() ? 2 : 'inherit', stderr: 'inherit', cancelSignal: this.signal},
    })
    return exitCode ?? exitCodes.failed
  }
}

function nextSteps({server, isService, permissions}: Setup): string[] {
  const start = isService ? 'See it work: a2a-worker status' : 'Start the worker: a2a-worker start'
  return [
    start,
    `Create a task${server === undefined ? ' from another terminal' : ''}: a2a-worker tasks create "…" --follow`,
    'Look at it in a browser: a2a-worker open',
    ...(permissions === ('ask' satisfies Permissions)
      ? ['Answer what an agent asks: a2a-worker tasks answer TASK allow']
      : []),
  ]
}
