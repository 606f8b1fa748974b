import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import {ExpectedError, messageOf, usageError} from '../lib/core/errors.ts'
import type {Config} from '../lib/config/settings.ts'
import {isLoopback} from '../lib/core/loopback.ts'
import {limits} from '../lib/protocol/limits.ts'
import type {ControlPlane} from '../lib/server/control-plane.ts'
import type {Log} from '../lib/server/streams/activity-lines.ts'
import {settingFlags} from '../flags.ts'
import {hasPassword, loginOf, withoutLogin} from '../lib/core/redis/redis-address.ts'

export default class Serve extends BaseCommand {
  static override summary = 'Run the control plane'
  static override description =
    'Workers register here and take tasks. Clients create and follow tasks. Tokens come from A2A_AUTH_TOKENS, separated by commas: name:token, name/client:token, name/worker:token or name/worker=WORKER_ID:token. --auth-tokens-file reads them from a file, one per line. SIGHUP reads that file and the certificate again. SIGUSR2 backs the database up: it writes a copy beside it, FILE.backup.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    'A2A_AUTH_TOKENS=me:TOKEN <%= config.bin %> <%= command.id %> --host 0.0.0.0 --port 8000',
    'A2A_AUTH_TOKENS=me:TOKEN <%= config.bin %> <%= command.id %> --host 0.0.0.0 --tls-cert plane.crt --tls-key plane.key',
  ]
  static override flags = {
    host: Flags.string({summary: 'Address to listen on', env: 'A2A_HOST', default: '127.0.0.1'}),
    port: Flags.string({
      summary: 'Port; 0 takes any free port',
      env: 'A2A_PORT',
      default: '7420',
      helpValue: 'N',
    }),
    db: Flags.string({
      summary: 'Database file (default: in the state directory)',
      env: 'OPENCODE_DB_PATH',
      helpValue: 'FILE',
    }),
    'max-task-output': Flags.integer({
      summary: 'Stored output of one task, in MiB; of more, the oldest is dropped (default: 256, in Redis 64)',
      env: 'A2A_MAX_TASK_OUTPUT',
      min: 1,
      helpValue: 'MIB',
    }),
    'max-requests': Flags.integer({
      summary:
        'Requests per second of one token, or of one address without a token, over ten seconds; 0 means no limit',
      env: 'A2A_MAX_REQUESTS',
      default: limits.requests,
      min: 0,
      helpValue: 'N',
    }),
    'max-streams': Flags.integer({
      summary: "Open streams of one token, or of one address without a token; a worker's token has at most 50",
      env: 'A2A_MAX_STREAMS',
      default: limits.streams,
      min: 1,
      helpValue: 'N',
    }),
    'audit-days': Flags.integer({
      summary: 'Days after which entries of the audit are removed',
      env: 'A2A_AUDIT_DAYS',
      default: 90,
      min: 1,
      max: 36_500,
      helpValue: 'DAYS',
    }),
    'keep-tasks-days': Flags.integer({
      summary: 'Days after which ended tasks are removed with their output',
      env: 'A2A_KEEP_TASKS_DAYS',
      default: 30,
      min: 1,
      max: 36_500,
      helpValue: 'DAYS',
    }),
    'parallel-tasks': Flags.string({
      summary:
        'Tasks at once in the working tree of a codebase (its id, name or path, or * for all), of workers that have no locks: Python workers. May be repeated, in the variable separated by commas (default: 1)',
      env: 'A2A_PARALLEL_TASKS',
      multiple: true,
      helpValue: 'CODEBASE=N',
    }),
    'tls-cert': Flags.string({
      summary: 'Serve HTTPS with this certificate and its chain (PEM)',
      helpValue: 'FILE',
      dependsOn: ['tls-key'],
    }),
    'tls-key': Flags.string({
      summary: 'Private key of the certificate (PEM)',
      helpValue: 'FILE',
      dependsOn: ['tls-cert'],
    }),
    'auth-tokens-file': Flags.string({
      summary: 'File with further tokens, one per line; mode 0600',
      env: 'A2A_AUTH_TOKENS_FILE',
      helpValue: 'FILE',
    }),
    'redis-url': Flags.string({
      summary:
        'Redis that holds the state, for any number of control planes behind a load balancer; with --db it only announces tasks',
      env: 'A2A_REDIS_URL',
      helpValue: 'URL',
    }),
    'redis-prefix': Flags.string({
      summary: 'Beginning of all keys in Redis; the part in braces keeps them on one shard of a cluster',
      env: 'A2A_REDIS_PREFIX',
      default: '{a2a-worker}:',
      helpValue: 'PREFIX',
    }),
    'redis-mirror': Flags.boolean({
      summary: 'Also write the keys of the existing server, for programs that read them; not in a Redis Cluster',
      env: 'A2A_REDIS_MIRROR',
    }),
    import: Flags.string({
      summary: 'Move this database of a control plane into an empty Redis',
      helpValue: 'FILE',
    }),
    'redis-public-url': Flags.string({
      summary: 'Address of that Redis for workers; the server passes it on to them',
      env: 'A2A_REDIS_PUBLIC_URL',
      helpValue: 'URL',
    }),
    'public-url': Flags.string({
      summary: 'Address by which workers and clients reach the server, for example that of a proxy in front of it',
      env: 'A2A_PUBLIC_URL',
      helpValue: 'URL',
    }),
    ...settingFlags('log_level', 'log_format'),
    auth: Flags.string({
      summary: 'Which routes need a token (default: all, if there are tokens)',
      options: ['required', 'stream-only', 'off'],
    }),
  }

  async run(): Promise<void> {
    const {flags} = await this.parse(Serve)
    const port = Number(flags.port)
    if (!/^\d+$/.test(flags.port) || port > 65_535)
      throw usageError(`--port must be a number from 0 to 65535, not ${flags.port}.`)
    const publicUrl = flags['public-url']?.replace(/\/+$/, '')
    if (publicUrl !== undefined && !/^https?:/.test(URL.canParse(publicUrl) ? publicUrl : ''))
      throw usageError(`--public-url must be an address like https://plane.example, not ${publicUrl}.`)
    const [
      {startControlPlane},
      {parseParallelTasks},
      {parseTokens},
      {makePrivateDirectory},
      {contentOf, importedName, putAside, whereState},
      {repairModes, repairText},
      {onHangup, onSignal, onTermination},
      {join},
    ] = await Promise.all([
      import('../lib/server/control-plane.ts'),
      import('../lib/server/tasks/parallel-tasks.ts'),
      import('../lib/server/http/auth.ts'),
      import('../lib/config/state-directory.ts'),
      import('../lib/server/where-state.ts'),
      import('../lib/config/repair-modes.ts'),
      import('../lib/core/signals.ts'),
      import('node:path'),
    ])
    const {'tls-cert': cert, 'tls-key': key, 'auth-tokens-file': tokensFile} = flags
    const {stateDir, config} = await this.loadContext(flags)
    const log = await this.#openLog(config)
    const repaired = repairModes(stateDir)
    if (repaired.length > 0) log(repairText(repaired), 'warn')
    const defaultFile = join(makePrivateDirectory(stateDir), 'server.db')
    const {db, 'redis-url': redisUrl, 'redis-prefix': prefix, import: importFile} = flags
    const where = await whereState({db, redisUrl, importFile, defaultFile})
    if (flags['redis-mirror'] && redisUrl === undefined)
      throw usageError('--redis-mirror writes to Redis: it needs --redis-url.')
    const diverged = Promise.withResolvers<string>()
    const folder = join(stateDir, 'replicas')
    const isShared = where.in === 'redis'
    const shared = {...where, prefix, folder, onDiverged: diverged.resolve}
    const database = where.in === 'file' ? where.file : `${withoutLogin(where.url)} ${prefix}`
    const imported = importFile && (await contentOf(importFile))
    if (isVisible(redisUrl, process.env['A2A_REDIS_URL'])) log(visiblePassword, 'warn')
    const tokensText = process.env['A2A_AUTH_TOKENS'] ?? ''
    delete process.env['A2A_AUTH_TOKENS'] // only the hashes are kept
    const plane = await startControlPlane({
      host: flags.host,
      port,
      database: where.in === 'file' ? where.file : defaultFile,
      ...(shared.in === 'redis' ? {shared} : {}),
      tokens: parseTokens(tokensText),
      ...(tokensFile === undefined ? {} : {tokensFile}),
      ...(cert !== undefined && key !== undefined ? {tls: {certFile: cert, keyFile: key}} : {}),
      ...(flags.auth ? {auth: flags.auth as 'required'} : {}),
      ...(flags['redis-url'] ? {brokerUrl: flags['redis-url']} : {}),
      ...(flags['redis-mirror'] && redisUrl !== undefined ? {mirror: {url: redisUrl, prefix}} : {}),
      ...(flags['redis-public-url'] ? {brokerPublicUrl: flags['redis-public-url']} : {}),
      parallelTasks: parseParallelTasks(flags['parallel-tasks'] ?? []),
      maxRequests: flags['max-requests'],
      maxStreams: flags['max-streams'],
      maxTaskOutput: (flags['max-task-output'] ?? (isShared ? 64 : 256)) * mib,
      retention: {
        ...(isShared ? {maxBytes: 256 * mib} : {}),
        auditAgeMs: flags['audit-days'] * dayMs,
        taskAgeMs: flags['keep-tasks-days'] * dayMs,
      },
      exclusive: true,
      version: this.config.version,
      ...(publicUrl === undefined ? {} : {publicUrl}),
      log,
    })
    const files = [cert, key, tokensFile].filter((file) => file !== undefined)
    // before the address is printed: whoever reads that may send a signal at once
    const ended = new Promise<undefined>((resolve) => {
      onTermination(() => resolve(undefined))
      onHangup({reload: () => this.#reload(plane, files, log), leave: () => resolve(undefined)})
    })
    onSignal('SIGUSR2', () => void this.#backUp(plane, log))
    const isLocalOnly = isLoopback(flags.host) && publicUrl === undefined
    await this.#greet(plane, {log, config, database, tokensFile, isOff: flags.auth === 'off', isLocalOnly})
    if (flags.auth === 'stream-only' && !isLocalOnly) log(streamOnly, 'warn')
    if (hasSameLogin(flags['redis-url'], flags['redis-public-url'])) log(sharedLogin, 'warn')
    if (importFile !== undefined) {
      putAside(importFile)
      log(
        `Moved into Redis: ${imported ?? 'nothing'} of ${importFile}, which is ${importedName(importFile)} now`,
        'info',
      )
    }

    const reason = await Promise.race([ended, diverged.promise])
    await plane.close()
    if (reason !== undefined)
      throw new ExpectedError(`This control plane must start again: ${reason}.`, {code: 'DIVERGED', exit: 'temporary'})
  }

  async #openLog({log_level: level, log_format: format}: Config): Promise<Log> {
    const {logFormat, logWriter} = await import('../lib/events/log-writer.ts')
    const write = (text: string) => void process.stderr.write(text)
    const put = await logWriter({format: logFormat(format, process.env), level, write})
    return (text, lineLevel = 'warn', about = {}) => {
      const {taskId} = about
      put({level: lineLevel, text, ...(taskId === undefined ? {} : {taskId})}, Date.now(), about)
    }
  }

  /** Prints the address to stdout. To stderr, what to give to workers and clients: lines for people, or a log entry. */
  async #greet(plane: ControlPlane, {log, config, database, tokensFile, isOff, isLocalOnly}: Greeting): Promise<void> {
    const {addresses} = plane
    const tokens = isOff ? [] : plane.tokens
    if (config.log_format === 'json') log(`Control plane at ${addresses.join(', ')}, database ${database}`, 'info')
    else if (config.log_level === 'debug' || config.log_level === 'info') {
      const {serveGuide} = await import('../lib/ui/text/serve-guide.ts')
      const {version} = this.config
      this.logToStderr(serveGuide({version, addresses, isLocalOnly, database, tokens, tokensFile}))
    }

    if (tokens.length === 0) log(isLocalOnly ? noToken : noTokenFromElsewhere, 'warn')
    this.log(plane.url)
  }

  async #backUp(plane: ControlPlane, log: Log): Promise<void> {
    try {
      log(`Backup written: ${await plane.backUp()}`, 'info')
    } catch (error) {
      log(`The backup failed. ${messageOf(error)}`, 'error')
    }
  }

  #reload(plane: ControlPlane, files: string[], log: Log): void {
    try {
      plane.reload()
      log(
        files.length > 0
          ? `Read again: ${files.join(', ')}.`
          : 'Nothing to read again: no --tls-cert and no --auth-tokens-file was given.',
        'info',
      )
    } catch (error) {
      const {message, suggestions} = error as ExpectedError
      const text = ['The reload failed, and certificate and tokens stay as they were.', message, ...(suggestions ?? [])]
      log(text.join(' '), 'error')
    }
  }
}

type Greeting = {
  log: Log
  config: Config
  database: string
  tokensFile: string | undefined
  /** No token is asked for, although there may be some. */
  isOff: boolean
  isLocalOnly: boolean
}

const mib = 1024 ** 2
const dayMs = 24 * 60 * 60_000

const noToken =
  'No token is required. Any program on this machine can make the workers run any task. Set A2A_AUTH_TOKENS=name:token to require a token.'
const noTokenFromElsewhere =
  'No token is required, and --public-url says that other machines reach this control plane. Whoever reaches it may read all prompts, output and sessions, and make the workers run any task. Set A2A_AUTH_TOKENS=name:token and omit --auth off, unless the proxy in front asks for a login.'
const streamOnly =
  'With --auth stream-only a token is required only for the task stream, claims and exports. Whoever reaches this control plane may read all prompts, output and sessions, create and cancel tasks, and so make the workers run any task. Use it in a network that only trusted programs can reach, or give each worker a token of its own and use --auth required.'
const sharedLogin =
  '--redis-public-url has the login of --redis-url, so every worker can change what is in Redis. Give workers a Redis user that may only subscribe: see docs/control-plane.md.'

/** Whether the address for workers shows them the login of the server. */
const hasSameLogin = (own = '', announced = '') => loginOf(own) !== '' && loginOf(own) === loginOf(announced)

const visiblePassword =
  'The password of Redis is on the command line, where other users of this machine may read it. Set A2A_REDIS_URL instead.'

const isVisible = (url: string | undefined, fromEnvironment: string | undefined) =>
  url !== undefined && url !== fromEnvironment && hasPassword(url)
