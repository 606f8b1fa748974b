import {setTimeout as sleep} from 'node:timers/promises'

/** Waits until `condition` returns something other than undefined, null or false, and returns it. */
export async function waitFor<T>(condition: () => T | undefined | null | false, what: string, ms = 15_000): Promise<T> {
  const end = performance.now() + ms
  for (;;) {
    const value = condition()
    if (value !== undefined && value !== null && value !== false) return value
    if (performance.now() > end) throw new Error(`waited ${ms} ms in vain for ${what}`)
    await sleep(10)
  }
}
