import {appendFileSync, utimesSync} from 'node:fs'
import type {Clock} from '../../core/clock.ts'

type OpenCall = {id: string; tool: string; title: string}

/**
 * Writes what an agent does to the file that the plugin of OpenCode writes to, in the same form
 * (`opencode/program/reporter.ts`). So working is told from hanging alike for all agents. Nothing depends on the file, so
 * a full disk is no failure. `isOn`: false if the plugin writes it; then the file is only touched.
 */
export function toolReport(path: string, {isOn, clock}: {isOn: boolean; clock: Clock}) {
  const open = new Map<string, OpenCall>()
  const write = (line: Record<string, unknown>) => {
    if (!isOn) return
    try {
      appendFileSync(path, `${JSON.stringify({at: clock.now(), ...line})}\n`, {mode: 0o600})
    } catch {
      // The disk is full.
    }
  }
  const tell = ({id: call, tool, title}: OpenCall, isOpen: boolean) =>
    write({type: 'tool', session: '', call, tool, title: title === tool ? '' : title, isOpen})
  write({type: 'started', tellsWaits: false})
  write({type: 'busy', session: ''})
  return {
    /** The calls that are open now. */
    update(calls: readonly OpenCall[]): void {
      if (!isOn || (calls.length === 0 && open.size === 0)) return
      const now = new Map(calls.map((call) => [call.id, call]))
      for (const [id, call] of open) if (!now.has(id)) tell(call, false)
      for (const [id, call] of now) if (open.get(id)?.title !== call.title) tell(call, true)
      open.clear()
      for (const [id, call] of now) open.set(id, call)
    },
    /** Something has happened. */
    touch(): void {
      try {
        const now = new Date()
        utimesSync(path, now, now)
      } catch {
        // It does not exist: the agent writes no report.
      }
    },
  }
}
