import {readFileSync} from 'node:fs'
import type {OpenDashboard} from './lib/ui/dashboard/controls.ts'

/** Whether this process can show a dashboard: it has a terminal and runs in the foreground. */
export const hasTerminal = (): boolean =>
  process.stdin.isTTY && process.stdout.isTTY && process.env['TERM'] !== 'dumb' && isInForeground()

/**
 * Ignores EIO on the terminal's streams, so that the worker can drain after its terminal was closed. Without this, the
 * next line or frame would end the process, because oclif listens for stream errors.
 */
export function surviveTerminalLoss(): void {
  const streams = [process.stdin, process.stdout, process.stderr].filter(({isTTY}) => isTTY)
  for (const stream of streams)
    stream.removeAllListeners('error').on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EIO') throw error
    })
}

/** The kernel would stop a background job (`start &`) as soon as it changed the terminal's modes. */
function isInForeground(): boolean {
  try {
    const [, , group, , , foreground] = readFileSync('/proc/self/stat', 'latin1').split(') ').at(-1)?.split(' ') ?? []
    return group === foreground
  } catch {
    return true // without /proc there is no way to know
  }
}

/**
 * Loads the dashboard for this process's terminal. Loading takes a third of a second and 30 MB, so a worker without a
 * terminal never does it.
 */
export async function loadDashboard(flags: {'no-color'?: unknown}): Promise<OpenDashboard> {
  const {openDashboard} = await withProductionReact(() => import('./lib/ui/dashboard/open-dashboard.tsx'))
  const {stdin, stdout, stderr} = process
  const isColoured = !flags['no-color'] && !process.env['NO_COLOR']
  return (options) => openDashboard({...options, terminal: {stdin, stdout, stderr}, isColoured})
}

/** Sets NODE_ENV only while React loads: its development build is many times slower. Agents must not inherit it. */
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
