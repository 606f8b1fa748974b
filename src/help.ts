import {CommandHelp, Help, type Command, type Interfaces} from '@oclif/core'

type Render = (text: string) => string

/** oclif compiles a template for each text of a page. Most texts are none, and compiling takes longer than the rest. */
const onlyTemplates =
  (render: Render): Render =>
  (text) =>
    text.includes('<%') ? render(text) : text

class QuickCommandHelp extends CommandHelp {
  constructor(command: Command.Loadable, config: Interfaces.Config, options: Interfaces.HelpOptions) {
    super(command, config, options)
    this.render = onlyTemplates(this.render)
  }
}

/** The help of oclif, with suggestions for a mistyped command. */
export default class SuggestingHelp extends Help {
  protected override CommandHelpClass = QuickCommandHelp

  constructor(config: Interfaces.Config, options?: Partial<Interfaces.HelpOptions>) {
    super(config, options)
    this.render = onlyTemplates(this.render)
  }

  override async showHelp(argv: string[]): Promise<void> {
    try {
      await super.showHelp(argv)
    } catch (error) {
      const id = /^Command (\S+) not found\.$/.exec((error as Error).message)?.[1]
      if (id === undefined) throw error
      await this.config.runHook('command_not_found', {id, argv})
    }
  }
}
