/** @jsxImportSource hono/jsx */
import type {Child} from 'hono/jsx'
import {plainLine} from '../../../core/text/plain-line.ts'
import type {OutputItem} from '../../../opencode/output/output-items.ts'
import {toolDetail} from '../../../opencode/output/tool-detail.ts'
import {pathOf} from '../../http/page-rights.ts'
import {html} from './layout.tsx'
import {shortText} from './text.ts'

/** Of a text, a line or the output of a tool, so many characters are shown. */
const maxText = 12_000
const maxLine = 2000
const maxToolOutput = 2000
const maxDiff = 12_000
/** HTML of one rendering. Of more, the newest items are shown. */
const maxHtml = 120_000

type Options = {taskId: string; /** There is output before these items. */ isTail: boolean}

/** The items as HTML, text. Empty if there is nothing to show. */
export function outputHtml(items: readonly OutputItem[], {taskId, isTail}: Options): string {
  const shown: string[] = []
  let chars = 0
  const all = joinLines(items)
  for (const item of all.toReversed()) {
    const text = html(<Item item={item} taskId={taskId} />)
    if (chars > 0 && chars + text.length > maxHtml) break
    chars += text.length
    shown.push(text)
  }

  const isCut = isTail || shown.length < all.length
  return `${isCut ? html(<Earlier taskId={taskId} />) : ''}${shown.toReversed().join('')}`
}

/** Lines that are no events and follow each other are one item. */
function joinLines(items: readonly OutputItem[]): OutputItem[] {
  const joined: OutputItem[] = []
  for (const item of items) {
    const last = joined.at(-1)
    const isMore = item.kind === 'line' && last?.kind === 'line' && last.text.length < maxText / 2
    if (isMore) joined[joined.length - 1] = {kind: 'line', text: `${last.text}\n${cut(item.text)}`}
    else joined.push(item.kind === 'line' ? {kind: 'line', text: cut(item.text)} : item)
  }
  return joined
}

const cut = (line: string) =>
  line.length <= maxLine ? line : `${line.slice(0, maxLine)} … (${line.length - maxLine} more characters: show all)`

const Earlier = ({taskId}: {taskId: string}) => (
  <p class="note">
    There is more output before this. <All taskId={taskId} />
  </p>
)

const All = ({taskId}: {taskId: string}) => (
  <a href={pathOf('rawOutput', {task: taskId})}>Show all, as it was printed</a>
)

function Item({item, taskId}: {item: OutputItem; taskId: string}) {
  switch (item.kind) {
    case 'attempt':
      return <h3 class="attempt">Attempt {item.attempt}</h3>
    case 'text':
      return (
        <div class="said">
          <Long text={item.text} max={maxText} taskId={taskId} />
        </div>
      )
    case 'line':
      return <pre class="lines">{shortText(item.text, 2 * maxText)}</pre>
    case 'error':
      return (
        <p class="failure">
          <span aria-hidden="true">✗ </span>
          <span class="hidden">Error: </span>
          <Long text={item.message} max={4000} taskId={taskId} />
        </p>
      )
    case 'too-long':
      return (
        <p class="note">
          A line is too long to show. <All taskId={taskId} />
        </p>
      )
    case 'tool':
      return <Tool item={item} taskId={taskId} />
  }
}

function Long({text, max, taskId}: {text: string; max: number; taskId: string}): Child {
  const shown = shortText(text, max)
  return text.length <= max ? (
    shown
  ) : (
    <>
      {shown}… <All taskId={taskId} />
    </>
  )
}

function Tool({item, taskId}: {item: OutputItem & {kind: 'tool'}; taskId: string}) {
  const {tool, title, error, isError, event} = item
  const {input, output, diff, exit} = toolDetail(event)
  const head = (
    <>
      <span class={isError ? 'sign bad' : 'sign good'} aria-hidden="true">
        {isError ? '✗' : '✓'}
      </span>
      <span class="hidden">{isError ? 'failed: ' : 'done: '}</span>
      <b>{plainLine(tool, 40)}</b> <bdi>{plainLine(title || input, 160)}</bdi>
      {exit === undefined ? null : <span class="exit"> exit code {exit}</span>}
    </>
  )
  if (input === '' && output === '' && diff === '' && error === '') return <p class="tool">{head}</p>
  return (
    <details class="tool" open={diff !== '' || error !== ''}>
      <summary>{head}</summary>
      {input === '' || input === title ? null : <pre class="input">{shortText(input, maxToolOutput)}</pre>}
      {diff === '' ? null : <Diff text={diff} taskId={taskId} />}
      {output.trim() === '' ? null : (
        <pre class="printed">
          {output.length > maxToolOutput ? '…' : ''}
          {shortText(output.trimEnd(), maxToolOutput, {keepsEnd: true})}
        </pre>
      )}
      {error === '' ? null : <pre class="failure">{shortText(error, maxToolOutput)}</pre>}
    </details>
  )
}

/** A diff in the unified format. Its signs stay, so that colours are not needed to read it. */
function Diff({text, taskId}: {text: string; taskId: string}) {
  const lines = shortText(text, maxDiff).trimEnd().split('\n')
  const shown = lines.filter((line) => !/^(?:Index: |={10,}|diff --git |index [\da-f]+\.\.)/.test(line))
  return (
    <>
      <pre class="diff">
        {runs(shown).map(({kind, lines: run}) =>
          kind === '' ? `${run.join('\n')}\n` : <span class={kind}>{`${run.join('\n')}\n`}</span>,
        )}
      </pre>
      {text.length > maxDiff ? (
        <p class="note">
          The diff is longer. <All taskId={taskId} />
        </p>
      ) : null}
    </>
  )
}

/** Neighbouring lines of one kind together: a long diff has few elements then. */
function runs(lines: readonly string[]): {kind: string; lines: string[]}[] {
  const found: {kind: string; lines: string[]}[] = []
  for (const line of lines) {
    const kind = kindOf(line)
    const last = found.at(-1)
    if (last?.kind === kind) last.lines.push(line)
    else found.push({kind, lines: [line]})
  }
  return found
}

function kindOf(line: string): string {
  if (line.startsWith('+++') || line.startsWith('---')) return 'file'
  if (line.startsWith('@@')) return 'place'
  return line.startsWith('+') ? 'added' : line.startsWith('-') ? 'removed' : ''
}
