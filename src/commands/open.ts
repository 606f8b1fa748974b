import {Flags} from '@oclif/core'
import {BaseCommand} from '../base-command.ts'

type Opened = {url: string; opened: boolean; expires_in: number | null}

export default class Open extends BaseCommand {
  static override summary = 'Open the monitor page of the control plane in a browser'
  static override description =
    'The link logs the browser in with the rights of your token. It works once, and for a minute. Without a browser on this machine, the link is printed: open it where there is one.'
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --server https://plane.example --no-browser',
  ]
  static override flags = {
    'no-browser': Flags.boolean({summary: 'Print the link and open nothing', aliases: ['print']}),
  }

  async run(): Promise<Opened> {
    const {flags} = await this.parse(Open)
    const [{createPageLink}, {openBrowser}] = await Promise.all([
      import('../lib/client/page/page-link.ts'),
      import('../lib/client/page/open-browser.ts'),
    ])
    await using client = await this.controlPlane(await this.loadContext(flags))
    const {url, expiresIn} = await createPageLink(client)
    const isQuiet = flags['no-browser'] || this.jsonEnabled()
    const opened = !isQuiet && (await openBrowser(url, {env: process.env, platform: process.platform}))
    if (opened) this.log(`The browser shows the monitor page of ${client.url}.`)
    else {
      if (!isQuiet) this.logToStderr('There is no browser on this machine. Open this link where there is one:')
      this.log(url)
      if (expiresIn !== null) this.logToStderr(`It works once, and for ${expiresIn} seconds.`)
    }

    return {url, opened, expires_in: expiresIn}
  }
}
