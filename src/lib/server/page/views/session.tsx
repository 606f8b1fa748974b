/** @jsxImportSource hono/jsx */
import {plainLine} from '../../../core/text/plain-line.ts'
import type {Message} from '../../../protocol/session-schemas.ts'
import {pathOf} from '../../http/page-rights.ts'
import type {SessionDetails} from '../data/codebases.ts'
import {signedResume} from '../data/signed-only.ts'
import type {Viewer} from '../data/viewer.ts'
import {page, type Page} from './layout.tsx'
import {Card, Empty, Line, SignedOnly, When} from './parts.tsx'
import {shortText} from './text.ts'

/** Of a message, and of all messages of a page together, so many characters are shown. */
const maxMessage = 4000
const maxParts = 30
const maxAll = 60_000

export function sessionPage(viewer: Viewer, details: SessionDetails): Page {
  const {codebase, session, messages, older, now} = details
  const name = session.title || session.id
  return page({
    ...{title: name, viewer, nav: 'codebases'},
    children: (
      <>
        <div class="headline">
          <div class="headline-text">
            <h1>
              <Line text={name} max={200} />
            </h1>
            <p class="sub">
              Session <code>{plainLine(session.id, 80)}</code> in{' '}
              <a href={pathOf('codebase', {codebase: codebase.id})}>{plainLine(codebase.name, 60)}</a>, changed{' '}
              <When time={session.updated} now={now} />
            </p>
          </div>
        </div>
        {viewer.mayManage ? <Resume details={details} /> : null}
        <Card title="Messages" aside={older === undefined ? null : <a href={older}>Older messages</a>} class="terminal">
          {messages.length === 0 ? <Empty>The worker has sent no messages of this session.</Empty> : null}
          <Messages messages={messages} />
        </Card>
      </>
    ),
  })
}

const Resume = ({details: {codebase, session, needsSignature}}: {details: SessionDetails}) => (
  <Card title="Go on with this session">
    {needsSignature ? (
      <SignedOnly command={signedResume(codebase.id, session.id)} />
    ) : (
      <form method="post" action={pathOf('session', {codebase: codebase.id, session: session.id})} class="say">
        <label>
          <span>
            Prompt <small>(default: continue where you left off)</small>
          </span>
          <textarea name="prompt" rows={3} />
        </label>
        <label>
          <span>
            Model <small>(default: the worker's)</small>
          </span>
          <input name="model" maxlength={200} />
        </label>
        <button class="primary">Create task</button>
      </form>
    )}
  </Card>
)

function Messages({messages}: {messages: readonly Message[]}) {
  const most = Math.max(500, Math.min(maxMessage, Math.floor(maxAll / Math.max(1, messages.length))))
  return (
    <ol class="messages">
      {messages.map((message) => (
        <li class={message.role === 'user' ? 'user' : 'agent'}>
          <h3>
            {message.role === 'user' ? 'Person' : 'Agent'}
            {message.model ? <small> {plainLine(message.model, 60)}</small> : null}
          </h3>
          <Parts parts={message.parts} most={most} />
        </li>
      ))}
    </ol>
  )
}

type Part = Record<string, unknown>

function Parts({parts, most}: {parts: readonly Part[]; most: number}) {
  const shown = parts.filter(({type}) => type === 'text' || type === 'tool').slice(0, maxParts)
  const each = Math.max(120, Math.floor(most / Math.max(1, shown.length)))
  return (
    <>
      {shown.map((part) =>
        part['type'] === 'text' ? (
          <div class="said">{limited(textOf(part['text']), each)}</div>
        ) : (
          <p class="tool">
            <b>{plainLine(textOf(part['tool']), 40)}</b> <Line text={titleOf(part)} max={120} />
          </p>
        ),
      )}
    </>
  )
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

const limited = (text: string, most: number) =>
  text.length > most ? `${shortText(text, most)} … (${text.length - most} more characters)` : shortText(text, most)

function titleOf(part: Part): string {
  const {state} = part
  return typeof state === 'object' && state !== null ? textOf((state as Part)['title']) : ''
}
