import {join} from 'node:path'
import type {Page} from 'playwright-core'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {writePrivateKey} from '../../../src/lib/signing/key-files.ts'
import {formatPublicKey, generatePrivateKey, publicKeyOf} from '../../../src/lib/signing/keys.ts'
import {acpExecutor} from '../../support/acp-agent.ts'
import {oneBrowser} from '../../support/browser.ts'
import {startInProcessWorker, type InProcessWorker} from '../../support/in-process-worker.ts'
import {repository} from '../../support/scratch.ts'
import {openWorkshop} from '../../support/workshop.ts'
import {Api} from '../support/api.ts'
import {startPlane, type TestPlane, until} from '../support/plane.ts'

const open = oneBrowser()
const shop = openWorkshop()
const keyFile = join(shop.path, 'me.key')
let plane: TestPlane
let api: Api
let worker: InProcessWorker
beforeAll(async () => {
  const key = generatePrivateKey()
  writePrivateKey(keyFile, key)
  plane = await startPlane()
  api = new Api(plane.url)
  const settings = {verify_tasks: 'require', trusted_keys: [formatPublicKey(publicKeyOf(key))]}
  const log = join(shop.path, 'agent.log')
  worker = await startInProcessWorker(plane.url, [repository(join(shop.path, 'tree'))], {
    ...{factor: 10, settings},
    executor: (home) => acpExecutor(home, {log, policy: {permissions: 'ask', askMs: 600_000}}),
  })
})
afterAll(async () => {
  await worker[Symbol.asyncDispose]()
  await plane.close()
  await shop[Symbol.asyncDispose]()
})

/** Runs a command that the page shows, with what the person puts in. */
async function follow(page: Page, texts: Record<string, string>) {
  const shown = (await page.getByLabel('Command').first().innerText()).trim().replace('FILE', keyFile)
  const [, ...args] = shown.split(' ').map((word) => texts[word] ?? word)
  const ended = await shop.cli([...args, '--server', plane.url])
  expect(ended, shown).toMatchObject({code: 0})
  return ended
}

test('a worker that takes only what is signed gets nothing unsigned from the page, which shows the command instead', async () => {
  await using tab = await open()
  const {page, problems} = tab
  await page.goto(`${plane.url}/ui/new`)
  await page.getByText('the page has no key').waitFor()
  expect(await page.getByLabel('Codebase').innerText()).toContain('signed tasks only')
  await page.getByRole('textbox', {name: 'Prompt', exact: true}).fill('ask for it')
  await page.getByRole('button', {name: 'Create task'}).click()
  await page.getByRole('alert').getByText('a2a-worker tasks create --codebase').waitFor()
  expect(problems.splice(0)).toEqual([expect.stringContaining('422')])
  expect((await api.get('tasks')).body).toEqual([])
  await page.goto(`${plane.url}/ui/new`)
  const {stdout} = await follow(page, {'"PROMPT"': 'permission p edit a file'})
  const id = stdout.trim()

  await page.goto(`${plane.url}/ui/tasks/${id}`)
  const question = page.locator('#questions')
  await question.getByRole('button', {name: /Deny|Reject/}).waitFor()
  expect(await question.getByRole('button').count()).toBe(1)
  expect(await page.getByRole('textbox').count()).toBe(0)
  await follow(page, {})
  await until(async () => (await api.task(id)).status === 'completed')
  await page.locator('#say').getByText('the page has no key').waitFor()
  await follow(page, {'"TEXT"': 'text go on'})
  await until(async () => {
    const {body} = await api.get('tasks')
    return body.length === 2 && body.every(({status}: {status: string}) => status === 'completed')
  })
  const posted = {method: 'POST', headers: {accept: 'text/html', origin: plane.url}, redirect: 'manual'} as const
  const body = new URLSearchParams({text: 'unsigned', mode: 'queue'})
  const refused = await fetch(`${plane.url}/ui/tasks/${id}/inputs`, {...posted, body})
  expect([refused.status, await refused.text()]).toEqual([422, expect.stringContaining('tasks say')])
  expect(problems).toEqual([])
})
