import {BaseCommand} from '../base-command.ts'

type Made = {file: string; bytes: number}

export default class Backup extends BaseCommand {
  static override summary = 'Copy the database of the control plane'
  static override description =
    "The control plane goes on meanwhile. The copy is next to its database, on its machine, with `.backup` at the end of the name, and replaces the copy before. Copy it to another machine: it holds prompts, output and sessions, but no token. To restore it, stop the control plane and put it in place of the database. It needs an admin's token. If the state is in Redis, back up the data of Redis."
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --server https://plane.example --json',
  ]

  async run(): Promise<Made> {
    const {flags} = await this.parse(Backup)
    const [{backUp}, {formatBytes}] = await Promise.all([
      import('../lib/client/admins/back-up.ts'),
      import('../lib/core/text/format-bytes.ts'),
    ])
    await using client = await this.controlPlane(await this.loadContext(flags))
    const {file, bytes} = await backUp(client)
    this.log(file)
    this.logToStderr(`${formatBytes(bytes)}, on the machine of ${client.url}.`)
    return {file, bytes}
  }
}
