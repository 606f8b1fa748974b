import {readFileSync} from 'node:fs'
import {createRequire} from 'node:module'
import type {Page} from 'playwright-core'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {text, tool} from '../../support/agent-lines.ts'
import {logIn, oneBrowser} from '../../support/browser.ts'
import {Api} from '../support/api.ts'
import {openStream, type Listener} from '../support/events.ts'
import {scratch, startPlane, type TestPlane} from '../support/plane.ts'

const token = 'an-admins-token-12'
const maxPageBytes = 300_000
const open = oneBrowser()
let plane: TestPlane
let api: Api
let stream: Listener
let codebase: string
/** Tasks by what they are. */
const ids: Record<string, string> = {}

beforeAll(async () => {
  plane = await startPlane({tokens: [{name: 'anna', scope: 'admin', token}]})
  api = new Api(plane.url, token)
  const features = ['lease', 'decline', 'fetch', 'input']
  await api.register('w', {
    features,
    max_concurrent_tasks: 2,
    models: [{id: 'a/model'}],
    capabilities: ['agent:claude'],
  })
  codebase = await api.codebase('w', '/srv/app')
  const other = await api.codebase('w', '/srv/other')
  stream = await openStream(api, 'w')
  ids['ended'] = (await api.create(codebase, {title: 'ended'})).id
  await api.claim(ids['ended'], 'w')
  const usage = {input: 1000, output: 50, cost: 0.25, duration_ms: 1500}
  await api.report(ids['ended'], 'w', 'failed', {error: 'out of memory', usage, session_id: 'ses_a'})
  ids['running'] = (await api.create(codebase, {title: 'running'})).id
  await api.claim(ids['running'], 'w')
  const diff = '--- a\n+++ a\n@@ -1 +1 @@\n-old\n+new\n'
  const edited = tool('edit', {status: 'completed', title: 'a', metadata: {diff}})
  const failed = tool('bash', {status: 'error', title: 'npm test', input: {command: 'npm test'}, error: 'exit code 1'})
  const output = [text('I begin'), edited, failed, 'a line'].join('\n')
  await api.output(ids['running'], 'w', `${output}\n`, {attempt: 1, offset: 0, length: output.length + 1})
  ids['asking'] = (await api.create(other, {title: 'asking'})).id
  await api.claim(ids['asking'], 'w')
  const options = [{id: 'yes', name: 'Allow', kind: 'allow_once'}]
  const question = {id: 'q', kind: 'permission', title: 'bash: rm -r build', options, since: 1, until: 4e12}
  const asked = {worker_id: 'w', attempt: 1, questions: [question], inputs: []}
  await api.send('PUT', `/v1/opencode/tasks/${ids['asking']}/questions`, asked)
  await api.post('taskInputs', {task: ids['asking']}, {text: 'be quick'})
  const sessions = [{id: 'ses_a', title: 'A session', messageCount: 1}]
  await api.post('sessionsSync', {codebase}, {worker_id: 'w', sessions})
  const messages = [{id: 'm', role: 'user', parts: [{type: 'text', text: 'said'}]}]
  await api.post('messagesSync', {codebase, session: 'ses_a'}, {worker_id: 'w', messages})
})
afterAll(async () => {
  await stream[Symbol.asyncDispose]()
  await plane.close()
})

const paths = () => ({
  overview: '/',
  tasks: '/ui/tasks',
  'no task': '/ui/tasks?q=nothing-like-that',
  ended: `/ui/tasks/${ids['ended']}`,
  running: `/ui/tasks/${ids['running']}`,
  asking: `/ui/tasks/${ids['asking']}`,
  'new task': '/ui/new',
  codebases: '/ui/codebases',
  codebase: `/ui/codebases/${codebase}`,
  session: `/ui/codebases/${codebase}/sessions/ses_a`,
})

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

type Finding = {id: string; impact: string; nodes: {html: string; failureSummary: string}[]}
/** Serious and critical findings of axe. The script is evaluated by the debugger, which no policy of the page forbids. */
async function findingsOf(page: Page): Promise<string[]> {
  await page.evaluate(axe)
  const findings: string[] = []
  // colours are all that differs in the dark
  for (const [colorScheme, options] of [
    ['light', "{resultTypes: ['violations']}"],
    ['dark', "{resultTypes: ['violations'], runOnly: ['color-contrast']}"],
  ] as const) {
    await page.emulateMedia({colorScheme})
    const found = await page.evaluate<Finding[]>(`axe.run(${options}).then(({violations}) => violations)`)
    for (const {id, impact, nodes} of found)
      if (impact === 'serious' || impact === 'critical')
        findings.push(...nodes.map(({html, failureSummary}) => `${id}: ${html.slice(0, 200)} ${failureSummary}`))
  }
  return findings
}

test('axe has no serious finding on any page, in light and in dark colours', async () => {
  await using tab = await open()
  const {page, problems} = tab
  await page.goto(`${plane.url}/ui/login`)
  expect(await findingsOf(page), 'login').toEqual([])
  await logIn(page, plane.url, token)
  await page.waitForURL(`${plane.url}/`)
  for (const [name, path] of Object.entries(paths())) {
    await page.goto(plane.url + path)
    await page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    expect(await findingsOf(page), name).toEqual([])
  }
  expect(problems).toEqual([])
})

test('a page works without its script', async () => {
  await using tab = await open({javaScriptEnabled: false})
  const {page} = tab
  await logIn(page, plane.url, token)
  await page.waitForURL(`${plane.url}/`)
  await page.goto(`${plane.url}/ui/new?codebase=${codebase}`)
  await page.getByRole('textbox', {name: 'Prompt', exact: true}).fill('first line\nsecond line')
  await page.getByRole('button', {name: 'Create task'}).click()
  await page.getByRole('heading', {name: 'first line'}).waitFor()
  const id = page.url().split('/').at(-1) ?? ''
  expect((await api.task(id)).prompt).toBe('first line\nsecond line')
  await page.getByRole('button', {name: 'Cancel task'}).click()
  await page.locator('#head').getByText('cancelled', {exact: true}).waitFor()
})

test('a form with something missing keeps what was typed, and says what is missing', async () => {
  await using tab = await open()
  const {page} = tab
  await logIn(page, plane.url, token)
  await page.waitForURL(`${plane.url}/`)
  await page.goto(`${plane.url}/ui/new`)
  await page.getByRole('textbox', {name: 'Prompt', exact: true}).fill('   ')
  await page.getByLabel('Title').fill('typed')
  await page.getByRole('button', {name: 'Create task'}).click()
  await page.getByRole('alert').getByText('The prompt is empty').waitFor()
  expect(await page.getByLabel('Title').inputValue()).toBe('typed')
})

test('what was typed is kept when the control plane does not answer, and when the login is over', async () => {
  await using folder = await scratch()
  const options = {tokens: [{name: 'anna', scope: 'admin' as const, token}], database: folder.file('plane.db')}
  let own = await startPlane(options)
  const {url, port} = own
  await new Api(url, token).register('w')
  await new Api(url, token).codebase('w', '/srv/app')
  await using tab = await open()
  const {page} = tab
  await logIn(page, url, token)
  await page.waitForURL(`${url}/`)
  await page.goto(`${url}/ui/new`)
  await page.getByRole('textbox', {name: 'Prompt', exact: true}).fill('a long prompt')
  const send = () => page.getByRole('button', {name: 'Create task'}).click()
  await own.close()
  await send()
  await page.getByText('The control plane does not answer.').waitFor()
  own = await startPlane({...options, port})
  try {
    await page.context().clearCookies()
    await send()
    await page.getByText('Log in in another tab').waitFor()
    const opened = page.waitForEvent('popup')
    await page.getByRole('status').getByRole('link', {name: 'Log in'}).click()
    const other = await opened
    await other.getByLabel('Token').fill(token)
    await other.getByRole('button', {name: 'Log in'}).click()
    await other.waitForURL(`${url}/`)
    await send()
    await page.getByRole('heading', {name: 'a long prompt'}).waitFor()
  } finally {
    await own.close()
  }
})

test('hostile titles, prompts, names and output are shown as what they are, and do nothing', async () => {
  await using tab = await open()
  const {page, problems} = tab
  const attack = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`
  const title = `${attack} \u202egnp.exe \u001b[31mred\u0007`
  const place = await api.codebase('w', `/srv/${attack}\u202e`)
  const {id} = await api.create(place, {title, prompt: `${attack}\u2066\u001b]0;window\u0007`})
  expect((await api.claim(id, 'w')).status).toBe(200)
  const lines = [
    'x'.repeat(1024 * 1024),
    '<'.repeat(100_000),
    text(`${attack} \u202ereversed`),
    tool('bash', {status: 'completed', title: attack, input: {command: attack}, output: `${attack}\u001b[2Jgone`}),
    `\u001b[31mred\u001b[0m ${attack}`,
  ].join('\n')
  const sent = await api.output(id, 'w', `${lines}\n`, {attempt: 1, offset: 0, length: lines.length + 1})
  expect(sent.status).toBe(200)
  await logIn(page, plane.url, token)
  await page.waitForURL(`${plane.url}/`)
  for (const path of ['/', '/ui/tasks', `/ui/codebases/${place}`, `/ui/tasks/${id}`]) {
    const answer = await page.goto(plane.url + path)
    expect((await answer?.body())?.length, path).toBeLessThan(maxPageBytes)
    await page.locator('body[data-connection=live]').waitFor()
    expect(await page.title()).not.toBe('owned')
    expect(await page.locator('img, main script').count()).toBe(0)
    const shown = await page.locator('main').innerText()
    expect(shown).toContain('<U+202E>')
    // oxlint-disable-next-line no-control-regex -- escapes are what must not be there
    expect(shown).not.toMatch(/[\u202e\u2066\u001b]/)
  }
  const output = await page.getByRole('log').innerText()
  expect(output).toContain('more characters: show all')
  expect(output).toContain(`red ${attack}`)
  await page.getByRole('link', {name: 'Show all', exact: true}).click()
  expect((await page.locator('body').innerText()).length).toBeGreaterThan(1024 * 1024)
  expect(problems).toEqual([])
})

test('with 5,000 tasks each page stays small and quick, and tasks are found by state, title and id', async () => {
  const ids: string[] = []
  for (let n = 0; n < 5000; n += 250) {
    const title = (i: number) => `task number ${n + i} ${'of many '.repeat(8)}`
    const made = await Promise.all(Array.from({length: 250}, (_, i) => api.create(codebase, {title: title(i)})))
    ids.push(...made.map(({id}) => id))
  }
  await using tab = await open()
  const {page, problems} = tab
  await page.addInitScript(`
    globalThis.longTasks = []
    new PerformanceObserver((list) => longTasks.push(...list.getEntries().map(({duration}) => duration)))
      .observe({type: 'longtask', buffered: true})`)
  await logIn(page, plane.url, token)
  await page.waitForURL(`${plane.url}/`)
  for (const [name, path] of Object.entries(paths())) {
    const answer = await page.goto(plane.url + path)
    expect((await answer?.body())?.length, name).toBeLessThan(maxPageBytes)
    if (path !== '/ui/new' && path !== '/ui/codebases' && !path.includes('?') && !path.includes('sessions'))
      await page.locator('body[data-connection=live]').waitFor()
    // a busy machine may be slow once; a page that is too large is slow each time
    const slow = await page.evaluate<number[]>('longTasks.filter((duration) => duration > 100)')
    if (slow.length > 0) await page.reload()
    expect(await page.evaluate<number[]>('longTasks.filter((duration) => duration > 100)'), name).toEqual([])
  }

  await page.goto(`${plane.url}/ui/tasks`)
  const rows = page.getByRole('table', {name: 'Tasks'}).locator('tbody tr')
  expect(await rows.count()).toBe(50)
  await rows.first().getByText('task number 4999').waitFor()
  await page.getByRole('link', {name: 'Older tasks'}).click()
  await rows.first().getByText('task number 4949').waitFor()
  await page.getByLabel('Title or id').fill('NUMBER 1234 ')
  await page.getByRole('button', {name: 'Find'}).click()
  await page.getByText('Found tasks').waitFor()
  expect(await rows.count()).toBe(1)
  await page.getByLabel('Title or id').fill(ids[7]?.slice(0, 8) ?? '')
  await page.getByRole('button', {name: 'Find'}).click()
  await rows.first().getByText('task number 7 ').waitFor()
  await page.getByLabel('Title or id').fill('')
  await page.getByLabel('State').selectOption('failed')
  await page.getByRole('button', {name: 'Find'}).click()
  await rows.first().getByText('ended').waitFor()
  expect(await rows.count()).toBe(1)
  expect(problems).toEqual([])
})

test('other clients get at / what they always got, and no page names a host outside', async () => {
  for (const accept of ['*/*', 'application/json']) {
    const answer = await fetch(plane.url, {headers: {accept}})
    expect(answer.status).toBe(200)
    expect(await answer.text()).toContain('This is a control plane of a2a-worker.')
  }
  const answer = await fetch(`${plane.url}/ui/login`, {headers: {accept: 'text/html'}})
  const policy = answer.headers.get('content-security-policy') ?? ''
  expect(policy).toContain("default-src 'none'")
  expect(policy).not.toContain('unsafe')
  const html = await answer.text()
  expect(html.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:\/\/| style=|<style/)
})
