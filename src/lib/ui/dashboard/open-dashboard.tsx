import {render, type SuspendTerminal, type TerminalSuspension} from 'ink'
import {onJobControl, stopJob} from '../../core/signals.ts'
import type {DashboardOptions, OpenedDashboard} from './controls.ts'
import {Dashboard} from './dashboard.tsx'

/** Keys are answered at once; what changes by itself comes ten times a second at most. */
const maxFps = 12

/**
 * Shows the dashboard in the terminal's alternate screen until it is closed. However the process ends, short of SIGKILL,
 * the terminal is then as it was: ink sees to that when it is unmounted, which it also is as the process exits.
 */
export function openDashboard({store, controls, terminal, isColoured}: DashboardOptions): OpenedDashboard {
  const hold = createTerminalControl()
  const job = onJobControl({leave: hold.leave, comeBack: () => void hold.comeBack()})
  const app = render(
    <Dashboard
      store={store}
      controls={controls}
      isColoured={isColoured}
      onReady={hold.take}
      onStop={stopJob}
      onRepaint={() => void hold.comeBack()}
    />,
    {
      ...terminal,
      alternateScreen: true,
      incrementalRendering: true,
      interactive: true,
      exitOnCtrlC: false,
      maxFps: maxFps,
    },
  )
  // A terminal that is gone is no reason to end what runs: without one there is nothing to draw on.
  const onTerminalLost = () => app.unmount()
  terminal.stdin.on('error', onTerminalLost)
  const closed = app.waitUntilExit().then(() => {})
  const cleanUp = () => {
    job[Symbol.dispose]()
    terminal.stdin.off('error', onTerminalLost)
  }
  closed.then(cleanUp, cleanUp)
  return {
    closed,
    async close() {
      app.unmount()
      await closed.catch(() => {})
    },
  }
}

/** Gives the terminal away and takes it back. */
function createTerminalControl() {
  let suspend: SuspendTerminal | undefined
  let suspension: Promise<TerminalSuspension> | undefined
  const leave = async () => {
    suspension ??= suspend?.()
    await suspension
  }
  return {
    take: (suspendTerminal: SuspendTerminal) => void (suspend = suspendTerminal),
    leave,
    /** Also where it was not given away: its modes may have been changed, and what stands there overwritten. */
    async comeBack() {
      await leave()
      const back = await suspension
      suspension = undefined
      await back?.resume()
    },
  }
}
