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
  /** Receives ink's function that suspends drawing and releases the terminal. */
  onReady: (suspend: SuspendTerminal) => void
  /** Ctrl-Z. */
  onStop: () => void
  onRepaint: () => void
}

/** Draws the view. Keys change the screen or trigger an action. */
export function Dashboard({store, controls, isColoured, onReady, onStop, onRepaint}: DashboardProps) {
  const view = useSyncExternalStore(store.subscribe, store.get)
  const {columns, rows} = useWindowSize()
  const [screen, setScreen] = useScreen()
  useTicker(view.tasks.length + view.waiting.length > 0 || view.startup !== null)
  const {isDetachable} = controls
  // The last column stays free, so that a character that a terminal draws too wide does not wrap.
  const area = {width: columns - 1, height: rows, now: Date.now()}
  const {suspendTerminal} = useApp()
  useEffect(() => onReady(suspendTerminal), [onReady, suspendTerminal])

  useInput((input, inkKey) => {
    for (const key of parseKeys(input, inkKey, (screen.current.draft ?? screen.current.word) !== undefined)) {
      const context = {view: store.get(), area: paneArea(area), isDetachable}
      const result = handleKey(screen.current, key, context)
      setScreen(result.screen)
      if (result.action) act(result.action)
    }
  })

  function act(action: Action): void {
    if (action.type === 'suspend') return onStop()
    if (action.type === 'repaint') return onRepaint()
    const notify = (notice: string | void) => notice && setScreen({...screen.current, notice})
    runAction(action, controls).then(notify, (error: unknown) => notify(messageOf(error)))
  }

  return (
    <Box flexDirection="column" width={columns} height={rows} overflow="hidden">
      {frame({...area, view, screen: screen.current, isDetachable}).map((row, i) => (
        <Line key={i} row={row} isColoured={isColoured} />
      ))}
    </Box>
  )
}

/** Resolves with a notice for the user, or with nothing. */
async function runAction(action: Action, controls: Controls): Promise<string | void> {
  switch (action.type) {
    case 'create':
      return `Created task ${(await controls.create(action.codebaseId, action.prompt)).slice(0, 8)}.`
    case 'say':
      return controls.say(action.taskId, action)
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

/** The screen state. The ref is current between two renders too, because several keys may arrive at once. */
function useScreen() {
  const [, draw] = useState(initialScreen)
  const current = useRef(initialScreen)
  const set = (screen: Screen) => {
    current.current = screen
    draw(screen)
  }
  return [current, set] as const
}

/** Redraws each second while durations are shown. */
function useTicker(isCounting: boolean): void {
  const [, tick] = useState(0)
  useEffect(() => {
    if (!isCounting) return
    const timer = setInterval(() => tick((n) => n + 1), 1000)
    return () => clearInterval(timer)
  }, [isCounting])
}

/** Longer input that arrives at once was pasted, and is ignored. */
const maxTypedChars = 8

function parseKeys(input: string, key: InkKey, isTyping: boolean): Key[] {
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
  if (key.backspace || key.delete) return ['backspace']
  if (key.tab) return [key.shift ? 'shift-tab' : 'tab']
  if (key.ctrl) return [`ctrl-${input}`]
  if (key.meta) return []
  if (isTyping) return typedKeys(input)
  return input.length > maxTypedChars ? [] : [...input]
}

/** Text that arrives at once. A newline at its end is the enter key; newlines within belong to a pasted text. */
function typedKeys(input: string): Key[] {
  const text = input.replaceAll(/\r\n?/g, '\n')
  const hasEnter = text.indexOf('\n') === text.length - 1 && text !== ''
  return hasEnter ? [...text.slice(0, -1), 'enter'] : [...text]
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
