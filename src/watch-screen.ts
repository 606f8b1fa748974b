import {usageError} from './lib/core/errors.ts'
import {systemClock} from './lib/core/clock.ts'
import {onTermination} from './lib/core/signals.ts'

/** Seconds between two looks. */
export const watchSeconds = 2

const enter = '\u001b[?1049h\u001b[?25l'
const leave = '\u001b[?25h\u001b[?1049l'
const home = '\u001b[H'
const clearRest = '\u001b[K'
const clearBelow = '\u001b[J'

export type WatchScreenOptions = {
  /** Returns what is shown now. A failure is shown, too, and does not end the watch. */
  draw: (signal: AbortSignal) => Promise<string>
  /** What the command is about, for the first line. */
  title: string
}

/**
 * Shows something on the terminal again and again, until Ctrl-C or q. It draws on the alternate screen, and leaves the
 * last picture on the ordinary one. Throws ExpectedError (2) without a terminal.
 */
export async function watchScreen({draw, title}: WatchScreenOptions): Promise<void> {
  const {stdin, stdout} = process
  if (!stdin.isTTY || !stdout.isTTY)
    throw usageError('--watch needs a terminal.', 'Leave it out, or use --json in a loop of your own.')
  const stop = new AbortController()
  using _signals = onTermination(() => stop.abort())
  const onKey = (key: Buffer) => {
    if (['q', '\u0003', '\u0004', '\u001b'].includes(key.toString())) stop.abort()
  }
  stdin.setRawMode(true)
  stdin.on('data', onKey)
  stdout.write(enter)
  let last = ''
  try {
    while (!stop.signal.aborted) {
      last = await draw(stop.signal).catch(
        (error: unknown) => `Error: ${error instanceof Error ? error.message : String(error)}`,
      )
      if (stop.signal.aborted) break
      stdout.write(screenOf(`${title}, every ${watchSeconds} s. Ctrl-C ends it.\n\n${last}`, stdout.rows))
      await systemClock.sleep(watchSeconds * 1000, stop.signal)
    }
  } finally {
    stdin.off('data', onKey).pause()
    stdin.setRawMode(false)
    stdout.write(`${leave}${last}\n`)
  }
}

/** The lines that fit on the screen. */
function screenOf(text: string, rows: number): string {
  const lines = text.split('\n')
  const shown = lines.length > rows ? [...lines.slice(0, rows - 1), `… ${lines.length - rows + 1} more lines`] : lines
  return home + shown.map((line) => line + clearRest).join('\r\n') + clearBelow
}
