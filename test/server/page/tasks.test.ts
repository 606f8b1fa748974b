import {mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {acpExecutor} from '../../support/acp-agent.ts'
import {answering, finish, printing, stepStart, text, tool} from '../../support/agent-lines.ts'
import {oneBrowser} from '../../support/browser.ts'
import {startFleet} from '../../support/fleet.ts'
import {startInProcessWorker, type InProcessWorker} from '../../support/in-process-worker.ts'
import {repository, scratchFolder} from '../../support/scratch.ts'
import {Api} from '../support/api.ts'
import {startPlane, type TestPlane, until} from '../support/plane.ts'

/** A worker whose agents run their prompt as a shell script, and one whose agents ask. */
const open = oneBrowser()
const folder = scratchFolder()
const [tree, asked] = [join(folder.path, 'tree'), join(folder.path, 'asked')]
const log = join(folder.path, 'agent.log')
let plane: TestPlane
let workers: InProcessWorker[]
let api: Api
beforeAll(async () => {
  plane = await startPlane()
  api = new Api(plane.url)
  for (const path of [tree, asked]) repository(path)
  const executor = (home: string) => acpExecutor(home, {log, policy: {permissions: 'ask', askMs: 600_000}})
  workers = await Promise.all([
    startInProcessWorker(plane.url, [tree], {factor: 10}),
    startInProcessWorker(plane.url, [asked], {factor: 10, executor}),
  ])
})
afterAll(async () => {
  for (const worker of workers) await worker[Symbol.asyncDispose]()
  await plane.close()
  folder[Symbol.dispose]()
})

/** What a person reads at the element that has the focus. It runs in the browser. */
const focusedText = '(document.activeElement.labels?.[0] ?? document.activeElement).textContent'

const codebaseAt = async (path: string): Promise<string> => {
  const {body} = await api.get('codebases')
  return body.find((codebase: {path: string}) => codebase.path === path).id
}

test('a task is created in the browser, its output is shown while it runs, and its end without a reload', async () => {
  await using tab = await open()
  const {page, problems} = tab
  const go = join(folder.path, 'go')
  const diff = '--- a.txt\n+++ a.txt\n@@ -1 +1 @@\n-old\n+new\n'
  const edited = tool('edit', {status: 'completed', title: 'a.txt', input: {}, metadata: {diff}})
  const prompt = [
    printing(stepStart(), text('I begin.'), edited, finish('tool-calls')),
    `until test -e ${go}; do sleep 0.02; done`,
    printing(text('I am done.', 'msg_2'), finish()),
  ].join('\n')
  await page.goto(plane.url)
  await page.getByRole('link', {name: 'New task'}).click()
  await page.getByLabel('Codebase').selectOption(await codebaseAt(tree))
  await page.getByRole('textbox', {name: 'Prompt', exact: true}).fill(prompt)
  await page.getByLabel('Title').fill('A task of a person')
  await page.getByRole('button', {name: 'Create task'}).click()
  await page.getByRole('heading', {name: 'A task of a person'}).waitFor()
  await page.evaluate(() => Object.assign(globalThis, {isSame: true}))
  const output = page.getByRole('log')
  await output.getByText('I begin.').waitFor()
  expect(await output.locator('.added').textContent()).toBe('+new\n')
  expect(await output.locator('.removed').textContent()).toBe('-old\n')
  await page.getByText('running', {exact: true}).waitFor()
  await page.getByText('$0.50 so far').waitFor()
  writeFileSync(go, '')
  await output.getByText('I am done.').waitFor()
  await page.locator('#head').getByText('completed').waitFor()
  await page.locator('#facts').getByText('$1.00', {exact: true}).waitFor()
  expect(await page.evaluate(() => 'isSame' in globalThis)).toBe(true)
  await page.getByRole('link', {name: 'Overview'}).click()
  await page.getByRole('table', {name: 'Recently ended tasks'}).getByText('A task of a person').waitFor()
  expect(problems).toEqual([])
})

test('a task that ended is retried, and a running one is cancelled, with their buttons', async () => {
  await using tab = await open()
  const {page, problems} = tab
  const {id} = await api.create(await codebaseAt(tree), {title: 'long', prompt: answering('once')})
  await page.goto(`${plane.url}/ui/tasks/${id}`)
  await page.getByRole('button', {name: 'Retry'}).click()
  await page.getByRole('log').getByRole('heading', {name: 'Attempt 2'}).waitFor()
  const {id: other} = await api.create(await codebaseAt(tree), {title: 'other', prompt: 'sleep 600'})
  await page.goto(`${plane.url}/ui/tasks/${other}`)
  await page.locator('#head').getByText('running').waitFor()
  await page.getByRole('button', {name: 'Cancel task'}).click()
  await page.locator('#head').getByText('cancelled', {exact: true}).waitFor()
  expect((await api.task(other)).status).toBe('cancelled')
  const {body} = await api.get('audit', {}, {query: {task_id: other}})
  expect(body.entries.map(({what}: {what: string}) => what)).toContain('task.cancelled')
  expect(problems).toEqual([])
})

test('a task that waits for another one has a link to it, and a new attempt shows nothing of the one before', async () => {
  await using tab = await open()
  const {page} = tab
  const codebase = await codebaseAt(tree)
  const go = join(folder.path, 'second')
  const spent = printing(stepStart(), text('first'), finish())
  const first = await api.create(codebase, {title: 'holds the tree', prompt: `${spent}\ntest -e ${go} && sleep 600`})
  await until(async () => (await api.task(first.id)).status === 'completed')
  expect((await api.task(first.id)).usage).not.toBeNull()
  writeFileSync(go, '')
  await page.goto(`${plane.url}/ui/tasks/${first.id}`)
  await page.locator('#facts').getByText('Took').waitFor()
  await page.getByRole('button', {name: 'Retry'}).click()
  await page.locator('#head').getByText('running').waitFor()
  await page.locator('#facts').getByText('so far').waitFor()
  const second = await api.create(codebase, {title: 'waits'})
  await page.goto(`${plane.url}/ui/tasks/${second.id}`)
  await page.getByRole('link', {name: first.id.slice(0, 8)}).click()
  await page.getByRole('heading', {name: 'holds the tree'}).waitFor()
  for (const task of [second.id, first.id]) await api.post('taskCancel', {task})
  await until(async () => (await api.task(first.id)).status !== 'running')
})

test('a permission is given in the browser, words reach the agent, and the next task goes on with the session', async () => {
  await using tab = await open()
  const {page, problems} = tab
  const prompt = 'permission p edit a file\npermission q write a file'
  const {id} = await api.create(await codebaseAt(asked), {title: 'asking', prompt})
  await page.goto(plane.url)
  await page.getByRole('table', {name: 'Tasks that need an answer'}).getByRole('link', {name: 'asking'}).click()
  await page.getByText('edit a file').first().waitFor()
  await page.getByRole('textbox', {name: 'Message'}).fill('text be quick')
  await page.getByRole('button', {name: 'Send'}).click()
  await page.locator('#inputs').getByText('text be quick').waitFor()
  await page.getByRole('button', {name: /allow/i}).first().click()
  await page.getByText('write a file').first().waitFor()
  await page
    .getByRole('button', {name: /deny|reject/i})
    .first()
    .click()
  await page.locator('#head').getByText('completed').waitFor()
  await until(() => readFileSync(log, 'utf8').includes('text be quick'))
  const {body} = await api.get('taskInputs', {task: id})
  expect(body.inputs.map(({state}: {state: string}) => state)).toEqual(['delivered', 'delivered', 'delivered'])
  await page.getByLabel('Your message becomes the next task').fill('text more')
  await page.getByRole('button', {name: 'Create task'}).click()
  await page.getByRole('heading', {name: 'text more'}).waitFor()
  await page.getByRole('log').getByText('more').waitFor()
  expect(problems).toEqual([])
})

test('what somebody types stays, with its focus, while the page changes', async () => {
  await using tab = await open()
  const {page, problems} = tab
  const {id} = await api.create(await codebaseAt(asked), {
    title: 'typing',
    prompt: 'permission p one\npermission q two',
  })
  await page.goto(`${plane.url}/ui/tasks/${id}`)
  const question = page.locator('#questions')
  await question.getByText('one').waitFor()
  const message = page.getByRole('textbox', {name: 'Message'})
  await message.fill('half a sen')
  await question.getByText('Answer in words').click()
  const [first] = (await api.task(id)).waiting_for ?? []
  await api.post('taskInputs', {task: id}, {question: first?.id, option: 'allow'})
  await question.getByText('two').waitFor()
  await message.focus()
  await page.keyboard.press('End')
  await api.post('taskInputs', {task: id}, {text: 'text said by somebody else'})
  await page.locator('#inputs').getByText('said by somebody else').waitFor()
  await page.keyboard.type('tence')
  expect(await message.inputValue()).toBe('half a sentence')
  await api.post('taskCancel', {task: id})
  await page.locator('#head').getByText('cancelled', {exact: true}).waitFor()
  expect(await page.locator('#say textarea').inputValue()).toBe('half a sentence')
  expect(problems).toEqual([])
})

test('with the keyboard alone a task is created and cancelled', async () => {
  await using tab = await open()
  const {page, problems} = tab
  await page.goto(plane.url)
  /** Presses Tab until this element has the focus. */
  const tabTo = async (name: RegExp) => {
    for (let n = 0; n < 60; n++) {
      await page.keyboard.press('Tab')
      const focused = await page.evaluate<string>(focusedText)
      if (name.test(focused.trim())) return
    }
    throw new Error(`no Tab leads to ${name}`)
  }
  await tabTo(/^Skip to content/)
  await tabTo(/^New task/)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', {name: 'New task'}).waitFor()
  await tabTo(/^Codebase/)
  await page.keyboard.type('tree')
  await tabTo(/^Prompt/)
  await page.keyboard.type('sleep 600')
  await tabTo(/^Create task/)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', {name: 'sleep 600'}).waitFor()
  await page.locator('#head').getByText('running').waitFor()
  await tabTo(/^Cancel task/)
  await page.keyboard.press('Enter')
  await page.locator('#head').getByText('cancelled', {exact: true}).waitFor()
  expect(problems).toEqual([])
})

test('sessions are shown with their messages and resumed, and a path is registered', async () => {
  await using tab = await open()
  const {page, problems} = tab
  const codebase = await codebaseAt(tree)
  const [worker] = workers
  const place = {codebase, session: 'ses_a'}
  const sessions = [{id: 'ses_a', title: 'A session', updated: '2026-01-01T00:00:00Z'}]
  await api.post('sessionsSync', {codebase}, {worker_id: worker?.id, partial: true, sessions})
  const parts = [{type: 'text', text: 'what was said'}]
  const messages = [{id: 'm1', role: 'user', parts}]
  await api.post('messagesSync', place, {worker_id: worker?.id, messages})
  await page.goto(`${plane.url}/ui/codebases`)
  await page.getByRole('link', {name: 'tree'}).click()
  await page.getByRole('link', {name: 'A session'}).click()
  await page.getByText('what was said').waitFor()
  await page.getByLabel('Prompt').fill(answering('resumed'))
  await page.getByRole('button', {name: 'Create task'}).click()
  await page.getByRole('heading', {name: /^Resume session/}).waitFor()
  const created = page.url().split('/').at(-1) ?? ''
  expect((await api.task(created)).metadata).toMatchObject({resume_session_id: 'ses_a'})
  const more = join(folder.path, 'more')
  mkdirSync(more)
  await page.getByRole('link', {name: 'Codebases'}).click()
  await page.getByLabel('Path on the machine').fill(more)
  await page.getByRole('button', {name: 'Register'}).click()
  await page.getByRole('heading', {name: 'Register codebase: more'}).waitFor()
  expect(problems).toEqual([])
})

test('an open page says that the connection is lost, and shows what changes once the control plane is back', async () => {
  await using fleet = await startFleet({isPlaneProcess: true})
  await using tab = await open()
  const {page, problems} = tab
  const codebase = await fleet.http.codebase('w', '/srv/app')
  await page.goto(fleet.url)
  await page.locator('body[data-connection=live]').waitFor()
  await page.evaluate(() => Object.assign(globalThis, {isSame: true}))
  await fleet.killPlane()
  await page.getByRole('status').getByText('Connection lost, trying again').waitFor()
  await fleet.restartPlane()
  await fleet.http.task(codebase, {title: 'after the kill'})
  await page.getByRole('table', {name: 'Waiting tasks'}).getByText('after the kill').waitFor()
  await page.locator('body[data-connection=live]').waitFor()
  expect(await page.getByRole('status').isVisible()).toBe(false)
  expect(await page.evaluate(() => 'isSame' in globalThis)).toBe(true)
  expect(problems.filter((problem) => !problem.includes('net::ERR_'))).toEqual([])
})
