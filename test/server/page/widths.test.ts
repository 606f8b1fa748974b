import type {Page} from 'playwright-core'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {text, tool} from '../../support/agent-lines.ts'
import {logIn, oneBrowser} from '../../support/browser.ts'
import {Api} from '../support/api.ts'
import {openStream, type Listener} from '../support/events.ts'
import {startPlane, type TestPlane} from '../support/plane.ts'

const token = 'an-admins-token-12'
const open = oneBrowser()
let plane: TestPlane
let stream: Listener
let paths: Record<string, string>

/** A name that offers no place to break it. */
const long = (start: string, length: number) => `${start}-${'wWm0'.repeat(length)}`.slice(0, length)

beforeAll(async () => {
  plane = await startPlane({tokens: [{name: long('anna', 60), scope: 'admin', token}]})
  const api = new Api(plane.url, token)
  const features = ['lease', 'decline', 'fetch', 'input']
  const worker = long('worker', 90)
  const models = [{id: long('provider/model', 180)}]
  const registered = {features, models, name: worker, hostname: long('host', 60), max_concurrent_tasks: 3}
  await api.register(worker, {...registered, capabilities: [long('agent:program', 90)]})
  const served = await Promise.all(
    Array.from({length: 5}, (_, n) =>
      api.codebase(worker, `/srv/${n}${long('folder', 150)}/${long('code', 40)}`, {name: `${n}${long('code', 90)}`}),
    ),
  )
  const [codebase = ''] = served
  stream = await openStream(api, worker)
  const words = `${'a title of many words '.repeat(12)}${long('end', 80)}`
  const create = async (title: string, place = codebase) =>
    (await api.create(place, {title, prompt: long('prompt', 900), model: long('provider/model', 180)})).id
  const ended = await create(long('ended', 300))
  await api.claim(ended, worker)
  const usage = {input: 123_456_789, output: 123_456_789, cost: 12_345.678, duration_ms: 123_456_789}
  const error = `${long('error', 300)} ${words}`
  await api.report(ended, worker, 'failed', {error, usage, session_id: long('ses', 90)})
  const running = await create(words)
  await api.claim(running, worker)
  const failed = tool('bash', {status: 'error', title: long('npm', 300), input: {command: long('npm', 300)}, error})
  const diff = `--- a\n+++ a\n@@ -1 +1 @@\n-${long('old', 400)}\n+${long('new', 400)}\n`
  const edited = tool('edit', {status: 'completed', title: long('file', 200), metadata: {diff}})
  const output = [text(long('word', 500)), edited, failed, long('line', 900)].join('\n')
  await api.output(running, worker, `${output}\n`, {attempt: 1, offset: 0, length: output.length + 1})
  const asking = await create(long('asking', 300), served[1])
  await api.claim(asking, worker)
  const options = [{id: 'yes', name: long('Allow', 90), kind: 'allow_once'}]
  const question = {id: 'q', kind: 'permission', title: long('bash', 400), options, since: 1, until: 4e12}
  const asked = {worker_id: worker, attempt: 1, questions: [question], inputs: []}
  await api.send('PUT', `/v1/opencode/tasks/${asking}/questions`, asked)
  await api.post('taskInputs', {task: asking}, {text: long('said', 400)})
  for (const title of [long('waits', 300), words]) await create(title)
  const session = long('ses', 90)
  await api.post(
    'sessionsSync',
    {codebase},
    {
      worker_id: worker,
      sessions: [{id: session, title: long('session', 300), messageCount: 123_456}],
    },
  )
  const parts = [
    {type: 'text', text: long('said', 900)},
    {type: 'tool', tool: long('tool', 90), state: {title: words}},
  ]
  const messages = [{id: 'm', role: 'user', model: long('model', 90), parts}]
  await api.post('messagesSync', {codebase, session}, {worker_id: worker, messages})
  paths = {
    overview: '/',
    tasks: '/ui/tasks',
    'found tasks': `/ui/tasks?q=${long('nothing', 150)}&codebase=${codebase}`,
    ended: `/ui/tasks/${ended}`,
    running: `/ui/tasks/${running}`,
    asking: `/ui/tasks/${asking}`,
    'new task': `/ui/new?codebase=${codebase}`,
    codebases: '/ui/codebases',
    codebase: `/ui/codebases/${codebase}`,
    session: `/ui/codebases/${codebase}/sessions/${session}`,
    problem: `/ui/tasks/${long('no-such-task', 200)}`,
    login: '/ui/login',
  }
})
afterAll(async () => {
  await stream[Symbol.asyncDispose]()
  await plane.close()
})

/** What is wider than its place, and cannot be scrolled into view. Fields scroll. What only screen readers read is clipped. */
const findCutOff = (page: Page) =>
  page.evaluate<string[]>(`
    [...document.body.querySelectorAll('*')]
      .filter((node) => !/^(INPUT|SELECT|OPTION|METER)$/.test(node.nodeName) && !node.closest('svg'))
      .filter((node) => getComputedStyle(node.closest('thead, .hidden') ?? node).clipPath === 'none')
      .filter((node) => {
        const isScrolled = /auto|scroll/.test(getComputedStyle(node).overflowX)
        return !isScrolled && getComputedStyle(node).display !== 'inline' && node.scrollWidth > node.clientWidth + 1
      })
      .map((node) => node.cloneNode().outerHTML + ' ' + node.scrollWidth + ' > ' + node.clientWidth)`)

test('on no screen is a page wider than it, or anything cut off, however long names are', async () => {
  await using tab = await open()
  const {page} = tab
  await logIn(page, plane.url, token)
  await page.waitForURL(`${plane.url}/`)
  const findings: string[] = []
  for (const [name, path] of Object.entries(paths)) {
    await page.goto(plane.url + path)
    await page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    for (const width of [375, 768, 861, 1100, 1280, 1500, 1600]) {
      await page.setViewportSize({width, height: 800})
      const {scrollWidth, clientWidth} = await page.evaluate<{scrollWidth: number; clientWidth: number}>(
        '({scrollWidth: document.documentElement.scrollWidth, clientWidth: document.documentElement.clientWidth})',
      )
      const where = `${name} at ${width} px`
      if (scrollWidth > clientWidth) findings.push(`${where}: the page has ${scrollWidth} px`)
      findings.push(...(await findCutOff(page)).map((what) => `${where}: ${what}`))
    }
  }
  expect(findings).toEqual([])
})
