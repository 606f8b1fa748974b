import {join} from 'node:path'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {finish, printing, stepStart, text} from '../../support/agent-lines.ts'
import {oneBrowser} from '../../support/browser.ts'
import {startInProcessWorker, type InProcessWorker} from '../../support/in-process-worker.ts'
import {startNginx} from '../../support/nginx.ts'
import {repository, scratchFolder} from '../../support/scratch.ts'
import {openWorkshop} from '../../support/workshop.ts'
import {startPlane, type TestPlane} from '../support/plane.ts'

const token = 'an-admins-token-12'
const open = oneBrowser()
const folder = scratchFolder()
let plane: TestPlane
let nginx: AsyncDisposable & {url: string}
let worker: InProcessWorker
beforeAll(async () => {
  plane = await startPlane({tokens: [{name: 'anna', scope: 'admin', token}]})
  nginx = await startNginx(folder.path, [plane.url, plane.url], {under: '/plane/'})
  const settings = {auth_token: token}
  worker = await startInProcessWorker(nginx.url, [repository(join(folder.path, 'tree'))], {factor: 10, settings})
})
afterAll(async () => {
  await worker[Symbol.asyncDispose]()
  await nginx[Symbol.asyncDispose]()
  await plane.close()
  folder[Symbol.dispose]()
})

test('behind a proxy that adds a path, a person logs in, creates a task, watches it, cancels it and logs out', async () => {
  await using tab = await open()
  const {page, problems} = tab
  const strays: string[] = []
  page.on('request', (request) => {
    const url = request.url()
    if (!url.startsWith(`${nginx.url}/`) && !url.startsWith('data:')) strays.push(url)
  })
  await page.goto(`${nginx.url}/ui/tasks?status=running`)
  await page.getByLabel('Token').fill('a-wrong-token-1234')
  await page.getByRole('button', {name: 'Log in'}).click()
  await page.getByRole('alert').getByText('Invalid token').waitFor()
  problems.splice(0) // the browser logs the status of that answer
  await page.getByLabel('Token').fill(token)
  await page.getByRole('button', {name: 'Log in'}).click()
  await page.waitForURL(`${nginx.url}/ui/tasks?status=running`)
  await page.getByRole('link', {name: 'a2a-worker'}).click()
  await page.waitForURL(`${nginx.url}/`)
  await page.locator('body[data-connection=live]').waitFor()

  await page.getByRole('link', {name: 'New task'}).click()
  const prompt = `${printing(stepStart(), text('I begin.'))}\nsleep 600\n${printing(finish())}`
  await page.getByRole('textbox', {name: 'Prompt', exact: true}).fill(prompt)
  await page.getByLabel('Title').fill('A task under a path')
  await page.getByRole('button', {name: 'Create task'}).click()
  await page.getByRole('heading', {name: 'A task under a path'}).waitFor()
  await page.getByRole('log').getByText('I begin.').waitFor()
  await page.getByRole('link', {name: 'Skip to content'}).focus()
  await page.keyboard.press('Enter')
  expect(await page.evaluate('document.activeElement.id')).toBe('main')
  await page.getByRole('button', {name: 'Cancel task'}).click()
  await page.locator('#head').getByText('cancelled', {exact: true}).waitFor()
  for (const name of ['Overview', 'Codebases']) {
    await page.getByRole('navigation', {name: 'Pages'}).getByRole('link', {name}).click()
    await page.getByRole('link', {name: 'tree', exact: true}).first().waitFor()
  }
  await page.getByRole('link', {name: 'tree', exact: true}).click()
  await page.getByRole('link', {name: 'A task under a path'}).waitFor()
  await page.goto(`${nginx.url}/ui/tasks/none/`)
  await page.getByRole('link', {name: 'Codebases'}).click()
  await page.waitForURL(`${nginx.url}/ui/codebases`)
  await page.getByRole('button', {name: 'Log out'}).click()
  await page.waitForURL(`${nginx.url}/ui/login`)
  expect(strays).toEqual([])
  expect(problems).toEqual([expect.stringContaining('404')])
})

test('commands and the link of open work with an address that has a path, with and without a slash at its end', async () => {
  await using shop = openWorkshop({A2A_AUTH_TOKEN: token})
  await using tab = await open()
  for (const server of [nginx.url, `${nginx.url}/`]) {
    const prompt = printing(stepStart(), text('from the command'), finish())
    const created = await shop.cli(['tasks', 'create', '--server', server, '--codebase', 'tree', '--follow', prompt])
    expect(created).toMatchObject({code: 0, stdout: expect.stringContaining('from the command')})
    const {stdout} = await shop.cli(['open', '--print', '--server', server])
    expect(stdout).toMatch(new RegExp(`^${nginx.url}/ui/enter\\?code=`))
    await tab.page.goto(stdout.trim())
    await tab.page.waitForURL(`${nginx.url}/`)
    await tab.page.getByText('anna admin').waitFor()
  }
})
