import {execFileSync} from 'node:child_process'
import {readFileSync} from 'node:fs'
import {expect} from 'vitest'
import {program} from './cli.ts'
import {until} from './scratch.ts'

export type TerminalOptions = {cwd: string; env: Record<string, string>; columns?: number; rows?: number}

let terminals = 0

/** Waits for something that only tmux can tell. It looks rarely, because each look starts tmux. */
const untilSeen = (look: () => boolean, what: string | (() => string)) => until(look, what, 30_000, 100)

/** A real terminal with a shell (tmux) whose screen can be read. Closed when disposed. */
export async function openTerminal({cwd, env, columns = 80, rows = 24}: TerminalOptions) {
  terminals += 1
  const socket = `a2a-test-${process.pid}-${terminals}`
  const tmux = (...args: string[]) =>
    execFileSync('tmux', ['-L', socket, '-f', '/dev/null', ...args], {encoding: 'utf8', env: {...env, LANG: 'C.UTF-8'}})
  const size = ['-x', String(columns), '-y', String(rows)]
  tmux('new-session', '-d', ...size, '-c', cwd, 'PS1="$ " exec bash --norc --noprofile')
  const shell = tmux('display-message', '-p', '#{pane_pid}').trim()
  const screen = () => tmux('capture-pane', '-p').trimEnd()
  const terminal = {
    screen,
    /** The screen with its colours. */
    coloured: () => tmux('capture-pane', '-p', '-e'),
    /** Types a text literally. */
    type: (text: string) => void tmux('send-keys', '-l', text),
    /** Presses keys by name. */
    press: (...keys: string[]) => void tmux('send-keys', ...keys),
    /** Starts the program. */
    run(...args: string[]) {
      terminal.type(`${process.execPath} ${program} ${args.join(' ')}`)
      terminal.press('Enter')
    },
    resize: (width: number, height: number) => void tmux('resize-window', '-x', String(width), '-y', String(height)),
    /** The live processes that the shell has started. */
    jobs(): number[] {
      return readFileSync(`/proc/${shell}/task/${shell}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
    },
    /** Whether keys go to this process. */
    isForeground(pid: number): boolean {
      const [, , group, , , foreground] =
        readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? []
      return group === foreground
    },
    isAlternate: () => tmux('display-message', '-p', '#{alternate_on}').trim() === '1',
    shows: (what: string | RegExp) =>
      untilSeen(
        () => (typeof what === 'string' ? screen().includes(what) : what.test(screen())),
        () => `${what} on the screen:\n${screen()}`,
      ),
    hides: (what: string) =>
      untilSeen(
        () => !screen().includes(what),
        () => `${what} to leave the screen:\n${screen()}`,
      ),
    /** Whether the shell has its terminal back: the earlier screen, a cursor, and echo. */
    async isRestored(before: string) {
      await untilSeen(() => !terminal.isAlternate(), 'the alternate screen to be left')
      expect(tmux('display-message', '-p', '#{cursor_flag}').trim()).toBe('1')
      terminal.type(`echo e""choed; stty -a | tr ' ' '\\n' | grep -x 'isig\\|icanon\\|echo'`)
      await terminal.shows('echo e""choed')
      terminal.press('Enter')
      await terminal.shows(/^echoed\nisig\nicanon\necho$/m)
      expect(screen()).toContain(before)
      terminal.type('clear')
      terminal.press('Enter')
      await untilSeen(() => screen() === '$', 'a clear screen')
    },
    [Symbol.dispose]: () => void tmux('kill-server'),
  }
  await terminal.shows(/^\$/)
  return terminal
}

export type Terminal = Awaited<ReturnType<typeof openTerminal>>
