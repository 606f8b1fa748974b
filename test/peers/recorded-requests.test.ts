import {expect, test} from 'vitest'
import {Api} from '../server/support/api.ts'
import {openStream} from '../server/support/events.ts'
import {startPlane, until} from '../server/support/plane.ts'
import {PythonWorker} from '../server/support/python-worker.ts'
import {framesOf, isStream, lacks, parse, recording, replay, titleOf, type Exchange, type Target} from './recording.ts'

const target = ({url}: {url: string}): Target => ({
  url,
  createTask: async (codebase, about) => (await new Api(url).create(codebase, about)).id,
})

async function answerTo(exchange: Exchange, all: Exchange[]): Promise<{status: number; type: string; text: string}> {
  await using plane = await startPlane()
  const response = await replay(exchange, all, target(plane))
  return {
    status: response.status,
    type: response.headers.get('content-type') ?? '',
    text: await response.text(),
  }
}

const requests = (all: Exchange[]) => all.filter((one) => !isStream(one)).map((one) => [titleOf(one), one] as const)

/** It asks for API keys, and only logs that its own server refuses that. */
const isForKeys = ({path}: Exchange) => path.includes('/api-keys/')

const ofWorker = [recording('python-worker--our-server'), recording('python-worker--python-server')]
for (const all of ofWorker)
  test.each(requests(all))('the existing worker sent %s, and gets what it needs', async (_, exchange) => {
    const {status, type, text} = await answerTo(exchange, all)
    expect({status, type}).toEqual({status: 200, type: 'application/json'}) // it accepts nothing else
    if (!isForKeys(exchange)) expect(lacks(parse(exchange.response), parse(text))).toEqual([])
  })

/** Where our control plane answers otherwise on purpose: its status, and why. */
const otherwise: Record<string, [status: number, reason: string]> = {
  'GET /v1/monitor/workers': [200, 'the existing server documents it and does not have it'],
  'HEAD /v1/opencode/status': [200, 'documented for `curl -I`'],
  'POST /v1/opencode/codebases/cb000001/tasks {"title":"t","prompt":"p"}': [200, 'the existing handler crashes'],
  'POST /v1/opencode/codebases {"name":"x","path":"/srv/x"}': [200, 'the existing handler crashes'],
  'POST /v1/opencode/codebases/cb000001/sessions/ses_1/resume {"prompt":"go on"}': [
    200,
    'the existing handler crashes',
  ],
  'POST /v1/worker/tasks/claim?worker_id=worker-1 {"task_id":"00000000-0000-4000-8000-000000000002"}': [
    200,
    'a claim needs no open stream',
  ],
  'POST /v1/opencode/tasks/none/cancel': [404, 'a cancellation without effect is no success'],
  'GET /v1/opencode/api-keys/sync?worker_id=worker-1': [200, 'no keys are given; asking for them is no error'],
}
/** Fields of the existing server that mean nothing here: its database pool, its parser, its own agent card. */
const meaningless =
  /^answer\.(pool_|detail\[0\]\.ctx|provider|additional_interfaces|capabilities\.media|authentication|skills\[0\])/

test.each(requests(recording('client--python-server')))(
  'a client sent %s, and is answered as before',
  async (_, one) => {
    const {status, text} = await answerTo(one, recording('client--python-server'))
    const key = titleOf(one).replace(/: \d+$/, '')
    expect(status).toBe(otherwise[key]?.[0] ?? one.status)
    if (otherwise[key]) return
    expect(lacks(parse(one.response), parse(text)).filter((place) => !meaningless.test(place))).toEqual([])
  },
)

test.each(ofWorker.flatMap((all) => all.filter(isStream)).map((one) => [titleOf(one), one] as const))(
  'the stream that the existing worker opened with %s has the frames that it reads',
  async (_, {headers, response}) => {
    await using plane = await startPlane()
    const api = new Api(plane.url)
    await api.register('w1')
    const codebase = await api.codebase('w1', '/home/worker/alpha')
    const sent = Object.fromEntries(headers.filter(([name]) => /^(x-|accept$|user-agent)/i.test(name)))
    await using stream = await openStream(api, 'w1', {...sent, 'X-Codebases': codebase})
    expect(stream.response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    const {id} = await api.create(codebase, {metadata: {model: null, files: []}})
    await stream.pushed(id)
    for (const {event, data} of framesOf(response)) {
      const ours = stream.events.find((one) => one.event === event)
      if (!['connected', 'task_available'].includes(event)) continue // nothing has caused them here
      const missing = lacks(data, parse(ours?.data ?? ''))
      expect(missing.filter((place) => !place.startsWith('answer.metadata.'))).toEqual([])
    }
  },
)

test('the worker of our tests sends what the existing worker sent, in the same form', async () => {
  await using plane = await startPlane()
  const shapes = new Set<string>()
  const shape = (method: string, url: string, headers: Iterable<readonly [string, string]>, body: string | null) => {
    const path = new URL(url, 'http://x').pathname.replace(
      /\/(tasks|codebases|sessions|workers)\/(?!register)[^/]+(?=\/)/g,
      '/$1/:id',
    )
    const named = new Map([...headers].map(([name, value]) => [name.toLowerCase(), value]))
    const fields = body
      ? Object.keys(parse(body) as object)
          .sort()
          .join()
      : ''
    return `${method} ${path} ${named.get('content-type')} ${named.get('user-agent')} ${fields}`
  }
  const original = globalThis.fetch
  globalThis.fetch = async (input, init) => {
    const headers = new Headers(init?.headers)
    shapes.add(shape(init?.method ?? 'GET', String(input), headers, (init?.body as string | undefined) ?? null))
    return await original(input, init)
  }
  try {
    await using worker = await PythonWorker.start(plane.url)
    await worker.connect()
    await worker.heartbeat()
    await worker.poll()
    const api = new Api(plane.url)
    const {id} = await api.create(worker.codebases.get('/srv/app') ?? '')
    await until(async () => (await api.task(id)).status === 'completed')
    await worker.report(id, 'failed', {error: 'e'})
  } finally {
    globalThis.fetch = original
  }

  const recorded = ofWorker
    .flat()
    .filter(({path}) => !path.includes('/sync'))
    .map(({method, path, headers, body}) => shape(method, path, headers, body))
  for (const one of new Set(recorded)) expect([...shapes]).toContain(one)
})
