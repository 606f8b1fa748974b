import {render, type SuspendTerminal, type TerminalSuspension} from 'ink'
import {onJobControl, stopJob} from '../../core/signals.ts'
import type {DashboardOptions, OpenedDashboard} from './controls.ts'
import {Dashboard} from './dashboard.tsx'

/** Limit for redraws. The view store limits updates to ten a second; a key is drawn in between. */
const maxFps = 12

/**
 * Shows the dashboard on the terminal's alternate screen until it is closed. ink restores the terminal when it is
 * unmounted, which also happens when the process exits. Only SIGKILL prevents that.
 */
export function openDashboard({store, controls, terminal, isColoured}: DashboardOptions): OpenedDashboard {
  const terminalControl = createTerminalControl()
  const job = onJobControl({leave: terminalControl.suspend, comeBack: () => void terminalControl.resume()})
  const app = render(
    <Dashboard
      store={store}
      controls={controls}
      isColoured={isColoured}
      onReady={terminalControl.setSuspend}
      onStop={stopJob}
      onRepaint={() => void terminalControl.resume()}
    />,
    {
      ...terminal,
      alternateScreen: true,
      incrementalRendering: true,
      interactive: true,
      exitOnCtrlC: false,
      maxFps,
    },
  )
  // If the terminal is lost, only the dashboard ends. The worker continues.
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

/** Releases the terminal (Ctrl-Z) and takes it back (fg). */
function createTerminalControl() {
  let suspendTerminal: SuspendTerminal | undefined
  let suspension: Promise<TerminalSuspension> | undefined
  const suspend = async () => {
    suspension ??= suspendTerminal?.()
    await suspension
  }
  return {
    setSuspend: (suspendInk: SuspendTerminal) => void (suspendTerminal = suspendInk),
    suspend,
    /** Suspends first if needed: after SIGSTOP the terminal's modes and screen may have been changed by others. */
    async resume() {
      await suspend()
      const suspended = await suspension
      suspension = undefined
      await suspended?.resume()
    },
  }
}
