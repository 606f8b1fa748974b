import type {Context} from 'hono'
import {messageOf} from '../../core/errors.ts'
import type {AppEnv} from '../http/app-env.ts'
import type {Plane} from '../plane/plane.ts'
import {changeNotices, startKeepAlive, type Following} from '../streams/change-notices.ts'
import type {Regions} from './data/regions.ts'
import {openEventStream, type EventStream} from '../streams/event-stream.ts'

/** What changes on a page. */
export type LiveView = {
  regions(): Regions
  /** Calls back when a region may have changed, until the returned function is called. */
  follow(notice: () => void): () => void
  /** Regions are also looked at in this interval: what workers report in heartbeats is no event. */
  everyMs: number
  /** Shortest time between two looks at the regions: what changes often must not cost more for each who watches. */
  pauseMs: number
  /** The output of a task: what the browser has not got yet. The first call answers with all, unless it has that. */
  output?: () => {html: string; isAll: boolean} | undefined
}

export type LiveOptions = {plane: Plane; following: Following; isStillIn: (c: Context<AppEnv>) => boolean}

/** Whether the script of a page asks for what changes. The page itself has the same address. */
export const wantsEvents = (c: Context<AppEnv>): boolean =>
  c.req.header('accept')?.startsWith('text/event-stream') ?? false

/** How often it is checked that the login of an open page holds. */
const loginMs = 1000

/** Streams what changes on a page to its script. */
export function serveLive(c: Context<AppEnv>, options: LiveOptions, view: LiveView): Response {
  const {following} = options
  return openEventStream(c, following.openStreams, (stream) => {
    following.hub.track(stream)
    send(c, options, {stream, view}).catch((error: unknown) => {
      following.log(`a live page failed: ${messageOf(error)}`)
      stream.close()
    })
  })
}

type Sending = {stream: EventStream; view: LiveView}

async function send(c: Context<AppEnv>, options: LiveOptions, {stream, view}: Sending): Promise<void> {
  const {plane, following} = options
  const changes = changeNotices(stream, (notice) => {
    const stop = view.follow(notice)
    const timers = [
      setInterval(notice, view.everyMs),
      setInterval(() => void (options.isStillIn(c) || notice()), loginMs),
    ]
    return () => {
      stop()
      timers.forEach((timer) => clearInterval(timer))
    }
  })
  const keepAlive = startKeepAlive(stream, following.keepAliveMs)
  const sent = new Map<string, string>()
  try {
    while (!stream.isEnded) {
      await stream.drained()
      await plane.durable() // never show what a crash could undo
      if (stream.isEnded || !stream.isReady) continue
      if (!options.isStillIn(c)) {
        stream.send({event: 'over', data: ''})
        stream.end()
        return
      }
      sendRegions(view, stream, sent)
      while (stream.isReady && sendOutput(view, stream)) await new Promise(setImmediate)
      if (stream.isReady) await changes.next()
      await pause(view.pauseMs, stream.closed)
    }
  } finally {
    changes.stop()
    clearInterval(keepAlive)
  }
}

function sendRegions(view: LiveView, stream: EventStream, sent: Map<string, string>): void {
  for (const [id, html] of Object.entries(view.regions())) {
    if (sent.get(id) === html) continue
    sent.set(id, html)
    stream.send({event: 'region', data: JSON.stringify({id, html})})
  }
}

function sendOutput({output}: LiveView, stream: EventStream): boolean {
  const more = output?.()
  if (more) stream.send({event: 'output', data: JSON.stringify(more)})
  return more !== undefined
}

function pause(ms: number, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      ended.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    ended.addEventListener('abort', done)
  })
}
