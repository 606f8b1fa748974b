import {readFileSync} from 'node:fs'
import type {OpenDashboard} from './lib/ui/dashboard/controls.ts'

/** Is there a terminal to show a dashboard on, and is it ours? */
export const hasTerminal = (): boolean =>
  process.stdin.isTTY && process.stdout.isTTY && process.env['TERM'] !== 'dumb' && isInForeground()

/**
 * A terminal that has gone (EIO) does not end the process that has it: the worker drains. Otherwise the first line or
 * frame after that would, by way of oclif's own listener.
 */
export function surviveTerminalLoss(): void {
  const streams = [process.stdin, process.stdout, process.stderr].filter(({isTTY}) => isTTY)
  for (const stream of streams)
    stream.removeAllListeners('error').on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EIO') throw error
    })
}

/** A job in the background (`start &`) would be stopped as soon as it touched the terminal's modes. */
function isInForeground(): boolean {
  try {
    const [, , group, , , foreground] = readFileSync('/proc/self/stat', 'latin1').split(') ').at(-1)?.split(' ') ?? []
    return group === foreground
  } catch {
    return true // not Linux: nobody can tell
  }
}

/**
 * The dashboard on this process's terminal. Loaded only when it is wanted: it takes a third of a second and 30 MB that a
 * worker without a terminal has better uses for.
 */
export async function loadDashboard(flags: {'no-color'?: unknown}): Promise<OpenDashboard> {
  const {openDashboard} = await withProductionReact(() => import('./lib/ui/dashboard/open-dashboard.tsx'))
  const {stdin, stdout, stderr} = process
  const isColoured = !flags['no-color'] && !process.env['NO_COLOR']
  return (options) => openDashboard({...options, terminal: {stdin, stdout, stderr}, isColoured})
}

/** React looks at NODE_ENV as it is loaded, and is many times slower without; nobody else is to see it. */
async function withProductionReact<T>(load: () => Promise<T>): Promise<T> {
  const before = process.env['NODE_ENV']
  process.env['NODE_ENV'] = 'production'
  try {
    return await load()
  } finally {
    if (before === undefined) delete process.env['NODE_ENV']
    else process.env['NODE_ENV'] = before
  }
}
