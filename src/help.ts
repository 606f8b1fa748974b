import {Help} from '@oclif/core'

/** The help of oclif, with suggestions for a mistyped command. */
export default class SuggestingHelp extends Help {
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
