import {Args} from '@oclif/core'
import {BaseCommand} from '../../base-command.ts'

type Generated = {file: string; public_key: string}

export default class KeysGenerate extends BaseCommand {
  static override summary = 'Make a key that signs tasks'
  static override description =
    'Writes a private Ed25519 key to a new file that only you may read, and prints its public key. Put the public key into `trusted_keys` of the workers. An existing file is never overwritten.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> ~/keys/ci.key',
    '<%= config.bin %> config set signing_key ~/keys/ci.key',
  ]
  static override args = {
    file: Args.string({description: 'File to write (default: signing.key beside your configuration file)'}),
  }

  async run(): Promise<Generated> {
    const {args} = await this.parse(KeysGenerate)
    const [
      {generatePrivateKey, publicKeyOf, formatPublicKey},
      {writePrivateKey},
      {readPath},
      {userFile},
      {dirname, join},
    ] = await Promise.all([
      import('../../lib/signing/keys.ts'),
      import('../../lib/signing/key-files.ts'),
      import('../../lib/config/read-value.ts'),
      import('../../lib/config/file.ts'),
      import('node:path'),
    ])
    const file =
      args.file === undefined
        ? join(dirname(userFile(process.env)), 'signing.key')
        : readPath(args.file, {directory: this.directory})
    const key = generatePrivateKey()
    writePrivateKey(file, key)
    const publicKey = formatPublicKey(publicKeyOf(key))
    this.log(publicKey)
    this.logToStderr(
      `Wrote the private key to ${file}.\n  → Sign with it: a2a-worker config set signing_key ${file}\n  → On each worker: put the line above into trusted_keys, and set verify_tasks to require`,
    )
    return {file, public_key: publicKey}
  }
}
