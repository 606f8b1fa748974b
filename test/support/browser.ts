import {chromium, type Browser, type BrowserContextOptions, type Page} from 'playwright-core'
import {afterAll, beforeAll} from 'vitest'

const args = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
]

/** `problems`: what the console of the page has complained about. */
export type Tab = AsyncDisposable & {page: Page; problems: string[]}

/** One headless Chromium for the tests of a file. Each tab has cookies of its own. */
export function oneBrowser(): (options?: BrowserContextOptions) => Promise<Tab> {
  let browser: Browser
  beforeAll(async () => {
    browser = await chromium.launch({executablePath: '/usr/bin/chromium', args})
  })
  afterAll(() => browser.close())
  return async (options = {}) => {
    // what moves is drawn sixty times a second
    const context = await browser.newContext({
      viewport: {width: 1280, height: 900},
      reducedMotion: 'reduce',
      ...options,
    })
    context.setDefaultTimeout(20_000)
    const page = await context.newPage()
    const problems: string[] = []
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(message.text())
    })
    page.on('pageerror', ({message}) => problems.push(message))
    return {page, problems, [Symbol.asyncDispose]: () => context.close()}
  }
}

/** Logs in with a token, by the form. */
export async function logIn(page: Page, url: string, token: string): Promise<void> {
  await page.goto(`${url}/ui/login`)
  await page.getByLabel('Token').fill(token)
  await page.getByRole('button', {name: 'Log in'}).click()
}
