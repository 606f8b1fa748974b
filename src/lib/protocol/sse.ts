import {createParser} from 'eventsource-parser'

/** One event of a `text/event-stream`. A comment has no name and no data. */
export type SseEvent = {event: string; data: string; id?: string | undefined}

/** Maximum length of an event, in characters. A longer one ends the stream with an error. */
const maxEventLength = 8 * 1024 * 1024

/**
 * Encodes an event (WHATWG HTML, server-sent events). `data` must be one line, as JSON is. The name `message` is
 * omitted, because it is the default.
 */
export const encodeEvent = ({event, data, id}: SseEvent): Buffer => {
  const name = event === 'message' ? '' : `event: ${event}\n`
  return Buffer.from(`${id === undefined ? '' : `id: ${id}\n`}${name}data: ${data}\n\n`)
}

/** Asks the reader to connect again after this time, in ms, once the stream has ended. */
export const encodeRetry = (ms: number): Buffer => Buffer.from(`retry: ${ms}\n\n`)

export const encodeComment = (text: string): Buffer => Buffer.from(`: ${text}\n\n`)

/**
 * Reads a body as events. `onBytes` is called for each chunk, including comments and partial lines. Tolerates CRLF and
 * split UTF-8, and skips events without data. `onRetry`: after how many ms the server wants the reader to connect again.
 * Throws if an event exceeds the size limit.
 */
export async function* readEvents(
  body: AsyncIterable<Uint8Array>,
  onBytes: () => void = () => {},
  onRetry: (ms: number) => void = () => {},
): AsyncGenerator<SseEvent> {
  const ready: SseEvent[] = []
  let pending = 0
  const parser = createParser({
    onEvent: ({event, data, id}) => {
      pending = 0
      ready.push({event: event ?? 'message', data, id})
    },
    onRetry,
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
