import {render} from 'ink-testing-library'
import {expect} from 'vitest'
import type {EventBody, WorkerEvent} from '../../src/lib/events/worker-event.ts'
import type {Controls} from '../../src/lib/ui/dashboard/controls.ts'
import {Dashboard} from '../../src/lib/ui/dashboard/dashboard.tsx'
import {toPlain, textWidth} from '../../src/lib/ui/text/plain-text.ts'
import {ViewStore} from '../../src/lib/ui/view/view-store.ts'
import type {View} from '../../src/lib/ui/view/view.ts'
import {noon} from './views.ts'

export const keys = {
  up: '\u001b[A',
  down: '\u001b[B',
  right: '\u001b[C',
  left: '\u001b[D',
  enter: '\r',
  escape: '\u001b',
}

/** The dashboard, drawn on a terminal of this size. */
export function draw(view: View, size: {columns?: number; rows?: number; controls?: Partial<Controls>} = {}) {
  const store = new ViewStore(view)
  const done: string[] = []
  const controls: Controls = {
    cancel: async (taskId) => void done.push(`cancel ${taskId}`),
    create: async (codebaseId, prompt) => {
      done.push(`create ${codebaseId} ${prompt}`)
      return 'eeeeeeee-5'
    },
    say: async (taskId, {question, option, text}) => {
      done.push(`say ${taskId} ${question} ${option} ${text}`)
      return 'The agent has it.'
    },
    setPaused: async (isPaused) => void done.push(isPaused ? 'pause' : 'resume'),
    drain: async () => void done.push('drain'),
    leave: () => void done.push('leave'),
    isDetachable: false,
    ...size.controls,
  }
  const nothing = () => {}
  const app = render(
    <Dashboard
      store={store}
      controls={controls}
      isColoured={false}
      onReady={nothing}
      onStop={() => void done.push('stop')}
      onRepaint={() => void done.push('repaint')}
    />,
  )
  const resize = (columns: number, rows: number) => {
    Object.defineProperty(app.stdout, 'columns', {value: columns, configurable: true})
    Object.defineProperty(app.stdout, 'rows', {value: rows, configurable: true})
    app.stdout.emit('resize')
  }
  resize(size.columns ?? 80, size.rows ?? 24)
  const lines = () => (app.lastFrame() ?? '').split('\n')
  return {
    /** The actions that were requested of the worker. */
    done,
    lines,
    resize,
    frames: app.frames,
    emit: (...events: EventBody[]) => {
      for (const event of events) store.push({at: noon, ...event} as WorkerEvent)
    },
    async press(...pressed: string[]) {
      for (const key of pressed) {
        app.stdin.write(key)
        // A lone escape is recognized only after a moment without further input.
        if (key === keys.escape) await new Promise((resolve) => setTimeout(resolve, 40))
      }
    },
    shows: (what: string | RegExp) => expect.poll(() => app.lastFrame(), {timeout: 5000}).toMatch(what),
    hides: (what: string | RegExp) => expect.poll(() => app.lastFrame(), {timeout: 5000}).not.toMatch(what),
    /** The screen: as many lines as the terminal has, none of them too wide. */
    fits(columns: number, rows: number) {
      expect(lines().length).toBeLessThanOrEqual(rows)
      for (const line of lines()) {
        expect(textWidth(line), line).toBeLessThan(columns)
        expect(toPlain(line)).toBe(line)
      }
    },
    [Symbol.dispose]: () => app.unmount(),
  }
}
