import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'
import type {ExpectedError} from '../lib/core/errors.ts'
import {usageError} from '../lib/core/errors.ts'
import type {ControlPlane} from '../lib/server/control-plane.ts'

export default class Serve extends BaseCommand {
  static override summary = 'Run the control plane'
  static override description =
    'Workers register here and take tasks. Clients create and follow tasks. Tokens come from A2A_AUTH_TOKENS, separated by commas: name:token, name/client:token, name/worker:token or name/worker=WORKER_ID:token. --auth-tokens-file reads them from a file, one per line. SIGHUP reads that file and the certificate again.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    'A2A_AUTH_TOKENS=me:secret <%= config.bin %> <%= command.id %> --host 0.0.0.0 --port 8000',
    'A2A_AUTH_TOKENS=me:secret <%= config.bin %> <%= command.id %> --host 0.0.0.0 --tls-cert plane.crt --tls-key plane.key',
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
      summary: 'Stored output of one task, in MiB; of more, the oldest is dropped',
      env: 'A2A_MAX_TASK_OUTPUT',
      default: 256,
      min: 1,
      helpValue: 'MIB',
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
      summary: 'Redis on which tasks are announced',
      env: 'A2A_REDIS_URL',
      helpValue: 'URL',
    }),
    'redis-public-url': Flags.string({
      summary: 'Address of that Redis for workers; the server passes it on to them',
      env: 'A2A_REDIS_PUBLIC_URL',
      helpValue: 'URL',
    }),
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
    const [{startControlPlane}, {parseTokens}, {makePrivateDirectory}, {onHangup, onTermination}, {join}] =
      await Promise.all([
        import('../lib/server/control-plane.ts'),
        import('../lib/server/http/auth.ts'),
        import('../lib/config/state-directory.ts'),
        import('../lib/core/signals.ts'),
        import('node:path'),
      ])
    const {'tls-cert': cert, 'tls-key': key, 'auth-tokens-file': tokensFile} = flags
    const {stateDir} = await this.loadContext(flags)
    const tokens = parseTokens(process.env['A2A_AUTH_TOKENS'] ?? '')
    const plane = await startControlPlane({
      host: flags.host,
      port,
      database: flags.db ?? join(makePrivateDirectory(stateDir), 'server.db'),
      tokens,
      ...(tokensFile === undefined ? {} : {tokensFile}),
      ...(cert !== undefined && key !== undefined ? {tls: {certFile: cert, keyFile: key}} : {}),
      ...(flags.auth ? {auth: flags.auth as 'required'} : {}),
      ...(flags['redis-url'] ? {brokerUrl: flags['redis-url']} : {}),
      ...(flags['redis-public-url'] ? {brokerPublicUrl: flags['redis-public-url']} : {}),
      maxTaskOutput: flags['max-task-output'] * 1024 ** 2,
      exclusive: true,
      version: this.config.version,
      log: (line) => this.logToStderr(line),
    })
    if ((tokens.length === 0 && tokensFile === undefined) || flags.auth === 'off')
      this.logToStderr(
        'No token is required. Any program on this machine can make the workers run any task. Set A2A_AUTH_TOKENS=name:token to require a token.',
      )
    this.log(plane.url)
    const files = [cert, key, tokensFile].filter((file) => file !== undefined)
    await new Promise<void>((resolve) => {
      onTermination(() => resolve())
      onHangup({reload: () => this.#reload(plane, files), leave: () => resolve()})
    })
    await plane.close()
  }

  #reload(plane: ControlPlane, files: string[]): void {
    try {
      plane.reload()
      this.logToStderr(
        files.length > 0
          ? `Read again: ${files.join(', ')}.`
          : 'Nothing to read again: no --tls-cert and no --auth-tokens-file was given.',
      )
    } catch (error) {
      const {message, suggestions} = error as ExpectedError
      const text = ['The reload failed, and certificate and tokens stay as they were.', message, ...(suggestions ?? [])]
      this.logToStderr(text.join(' '))
    }
  }
}
