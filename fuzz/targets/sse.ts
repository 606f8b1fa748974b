import * as v from 'valibot'
import type {HttpClient} from '../../src/lib/client/http.ts'
import {taskStream} from '../../src/lib/client/task-stream.ts'
import {parseJson} from '../../src/lib/protocol/parse.ts'
import {outputChunkSchema} from '../../src/lib/protocol/schemas.ts'
import {encodeComment, encodeEvent, readEvents} from '../../src/lib/protocol/sse.ts'
import {chunks, mutateBytes} from '../mutate-bytes.ts'
import {mutateJson} from '../mutate-json.ts'
import type {Random} from '../random.ts'
import {events} from '../samples.ts'
import {check, type Target} from '../target.ts'

/** Task and output streams: broken ones, and valid ones with mutated data. */
export const sse: Target = {
  name: 'sse',
  share: 160,
  open: () => ({
    async run(random) {
      const whole = randomStream(random)
      const bytes = random.chance(0.6) ? mutateBytes(whole, random, randomStream(random)) : whole
      try {
        await (random.chance(0.7) ? readTasks : readOutput)(pieces(bytes, random))
        return 'accepted'
      } catch (error) {
        if (error instanceof Error && error.message.startsWith('an event of the stream is over')) return 'refused'
        throw error
      }
    },
  }),
}

function randomStream(random: Random): Buffer {
  const parts = Array.from({length: 1 + random.below(6)}, () => {
    if (random.chance(0.1)) return encodeComment('keep-alive')
    const [event, data] = random.pick(events)
    const text = random.chance(0.5) ? mutateJson(data, random) : JSON.stringify(data)
    return encodeEvent({event, data: text, ...(random.chance(0.5) ? {id: String(random.below(100))} : {})})
  })
  return Buffer.concat(parts)
}

async function* pieces(bytes: Buffer, random: Random): AsyncGenerator<Uint8Array> {
  yield* chunks(bytes, random)
}

async function readTasks(body: AsyncIterable<Uint8Array>): Promise<void> {
  const options = {
    workerId: 'w',
    instance: 'i',
    name: 'n',
    codebases: ['c'],
    capabilities: [],
    silenceMs: 1000,
    onRetry: () => {},
    onId: () => {},
  }
  const http = {open: () => Promise.resolve(body)} as unknown as HttpClient
  for await (const message of taskStream(http, {...options, signal: new AbortController().signal})) {
    if (message.type === 'task') check(message.task.id !== '', 'a task has an id')
    if (message.type === 'malformed') check(message.detail.length < 300, 'the details of a malformed event are short')
  }
}

async function readOutput(body: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const {data} of readEvents(body)) v.safeParse(outputChunkSchema, parseJson(data))
}
