import {Box, Text, useApp, useInput, useWindowSize} from 'ink'
import type {Key as InkKey, SuspendTerminal, TextProps} from 'ink'
import {useEffect, useRef, useState, useSyncExternalStore} from 'react'
import {messageOf} from '../../core/errors.ts'
import type {Row, Tone} from './cells.ts'
import type {Controls} from './controls.ts'
import {frame, paneArea} from './frame.ts'
import {handleKey, type Key} from './keys.ts'
import {initialScreen, type Action, type Screen} from './screen.ts'
import type {ViewStore} from '../view/view-store.ts'

export type DashboardProps = {
  store: ViewStore
  controls: Controls
  isColoured: boolean
  /** Called with the way to give the terminal away for a while. */
  onReady: (suspend: SuspendTerminal) => void
  /** Ctrl-Z. */
  onStop: () => void
  onRepaint: () => void
}

/** Draws the view, and turns keys into what is looked at and what the worker is to do. */
export function Dashboard({store, controls, isColoured, onReady, onStop, onRepaint}: DashboardProps) {
  const view = useSyncExternalStore(store.subscribe, store.get)
  const {columns, rows} = useWindowSize()
  const [screen, setScreen] = useScreen()
  useTicker(view.tasks.length + view.waiting.length > 0)
  const {isDetachable} = controls
  // The last column stays free: a sign that a terminal draws wider than it should does not wrap.
  const area = {width: columns - 1, height: rows, now: Date.now()}
  const {suspendTerminal} = useApp()
  useEffect(() => onReady(suspendTerminal), [onReady, suspendTerminal])

  useInput((input, inkKey) => {
    for (const key of parseKeys(input, inkKey)) {
      const about = {view: store.get(), area: paneArea(area), isDetachable}
      const pressed = handleKey(screen.current, key, about)
      setScreen(pressed.screen)
      if (pressed.action) act(pressed.action)
    }
  })

  function act(action: Action): void {
    if (action.type === 'suspend') return onStop()
    if (action.type === 'repaint') return onRepaint()
    const failed = (error: unknown) => setScreen({...screen.current, notice: messageOf(error)})
    runAction(action, controls).catch(failed)
  }

  return (
    <Box flexDirection="column" width={columns} height={rows} overflow="hidden">
      {frame({...area, view, screen: screen.current, isDetachable}).map((row, i) => (
        <Line key={i} row={row} isColoured={isColoured} />
      ))}
    </Box>
  )
}

async function runAction(action: Action, controls: Controls): Promise<void> {
  switch (action.type) {
    case 'cancel':
      return controls.cancel(action.taskId)
    case 'pause':
    case 'resume':
      return controls.setPaused(action.type === 'pause')
    case 'drain':
      return controls.drain()
    default:
      return controls.leave()
  }
}

/** What is looked at, also as it is between two drawings: several keys may come at once. */
function useScreen() {
  const [, draw] = useState(initialScreen)
  const current = useRef(initialScreen)
  const set = (screen: Screen) => {
    current.current = screen
    draw(screen)
  }
  return [current, set] as const
}

/** Draws each second while something is shown that is counted in seconds. */
function useTicker(isCounting: boolean): void {
  const [, tick] = useState(0)
  useEffect(() => {
    if (!isCounting) return
    const timer = setInterval(() => tick((n) => n + 1), 1000)
    return () => clearInterval(timer)
  }, [isCounting])
}

/** What comes at once and is longer was pasted, and is no command. */
const maxTypedChars = 8

function parseKeys(input: string, key: InkKey): Key[] {
  if (key.upArrow) return ['up']
  if (key.downArrow) return ['down']
  if (key.leftArrow) return ['left']
  if (key.rightArrow) return ['right']
  if (key.pageUp) return ['pageup']
  if (key.pageDown) return ['pagedown']
  if (key.home) return ['home']
  if (key.end) return ['end']
  if (key.return) return ['enter']
  if (key.escape) return ['escape']
  if (key.tab) return [key.shift ? 'shift-tab' : 'tab']
  if (key.ctrl) return [`ctrl-${input}`]
  return key.meta || input.length > maxTypedChars ? [] : [...input]
}

const coloured: Record<Tone, TextProps> = {
  plain: {},
  strong: {bold: true},
  dim: {dimColor: true},
  good: {color: 'green'},
  bad: {color: 'red'},
  warn: {color: 'yellow'},
  accent: {color: 'cyan'},
  chosen: {bold: true, color: 'cyan'},
}

const uncoloured: Record<Tone, TextProps> = {
  ...coloured,
  good: {},
  bad: {bold: true},
  warn: {bold: true},
  accent: {},
  chosen: {bold: true},
}

function Line({row, isColoured}: {row: Row; isColoured: boolean}) {
  const tones = isColoured ? coloured : uncoloured
  if (row.length === 0) return <Text> </Text>
  return (
    <Text wrap="truncate">
      {row.map(({text, tone}, i) => (
        <Text key={i} {...tones[tone]}>
          {text}
        </Text>
      ))}
    </Text>
  )
}
