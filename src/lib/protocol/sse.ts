import {createParser} from 'eventsource-parser'

/** One event of a `text/event-stream`. A comment has no name and no data. */
export type SseEvent = {event: string; data: string; id?: string | undefined}

/** The longest event that is read; a longer one ends the stream with an error. In characters. */
const maxEventLength = 8 * 1024 * 1024

/**
 * The wire form of an event (WHATWG HTML, server-sent events). `data` must be one line, as JSON is. An event that is
 * called `message` goes without a name: readers take it for that.
 */
export const encodeEvent = ({event, data, id}: SseEvent): Buffer => {
  const name = event === 'message' ? '' : `event: ${event}\n`
  return Buffer.from(`${id === undefined ? '' : `id: ${id}\n`}${name}data: ${data}\n\n`)
}

export const encodeComment = (text: string): Buffer => Buffer.from(`: ${text}\n\n`)

/**
 * Reads a body as events. `onBytes` is called for each chunk that arrives, comments and half lines included: life
 * signs. Tolerates CRLF, torn UTF-8 and events without data (skipped). Throws when one event passes the size limit.
 */
export async function* readEvents(
  body: AsyncIterable<Uint8Array>,
  onBytes: () => void = () => {},
): AsyncGenerator<SseEvent> {
  const ready: SseEvent[] = []
  let pending = 0
  const parser = createParser({
    onEvent: ({event, data, id}) => {
      pending = 0
      ready.push({event: event ?? 'message', data, id})
    },
    onComment: () => {
      pending = 0
    },
  })
  const decoder = new TextDecoder()
  for await (const chunk of body) {
    onBytes()
    pending += chunk.length
    parser.feed(decoder.decode(chunk, {stream: true}))
    yield* ready.splice(0)
    if (pending > maxEventLength) throw new Error(`an event of the stream is over ${maxEventLength} bytes`)
  }
}
