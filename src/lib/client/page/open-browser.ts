import {spawn} from 'node:child_process'

/** A program that shows an address may end at once, or be the browser itself. */
const waitMs = 2000

type Machine = {env: NodeJS.ProcessEnv; platform: NodeJS.Platform}

/** The program that shows addresses, if there is a screen. */
function opener({env, platform}: Machine): string | undefined {
  if (platform === 'darwin') return 'open'
  if (platform === 'win32') return undefined
  return env['DISPLAY'] || env['WAYLAND_DISPLAY'] ? 'xdg-open' : undefined
}

/** Shows an address in the browser of this machine. Resolves with whether that seems to have worked. */
export function openBrowser(url: string, machine: Machine): Promise<boolean> {
  const program = opener(machine)
  if (program === undefined) return Promise.resolve(false)
  return new Promise((resolve) => {
    const child = spawn(program, [url], {stdio: 'ignore', detached: true, env: machine.env})
    const finish = (isOpen: boolean) => {
      clearTimeout(timer)
      child.unref()
      resolve(isOpen)
    }
    const timer = setTimeout(() => finish(true), waitMs)
    child.on('error', () => finish(false)).on('exit', (code) => finish(code === 0))
  })
}
