import {expect, test} from 'vitest'
import {
  browserSessionOf,
  closeBrowserSession,
  createPageLink,
  linkMs,
  openBrowserSession,
  sessionMs,
  usePageLink,
} from '../../../../src/lib/server/rules/registry/browser-sessions.ts'
import {all} from '../../../../src/lib/server/state/records.ts'
import {MemoryEngine} from '../../support/memory-engine.ts'

const login = (hash: string, token = 't') => ({hash, token, by: 'anna'})

test('a login lasts for its time or until the logout, and only the audit remembers it', () => {
  const engine = new MemoryEngine()
  engine.run(openBrowserSession, login('a'))
  engine.run(openBrowserSession, login('b'))
  expect(browserSessionOf(engine.state, 'a')).toMatchObject({token: 't'})
  expect(browserSessionOf(engine.state, 'unknown')).toBeUndefined()
  engine.run(closeBrowserSession, {hash: 'b', by: 'anna'})
  engine.run(closeBrowserSession, {hash: 'b', by: 'anna'})
  expect(browserSessionOf(engine.state, 'b')).toBeUndefined()
  engine.time += sessionMs - 1
  expect(browserSessionOf(engine.state, 'a')).toBeDefined()
  engine.time += 1
  expect(browserSessionOf(engine.state, 'a')).toBeUndefined()
  engine.run(openBrowserSession, login('c'))
  expect([...engine.state.find('browserSessions', all)].map(({hash}) => hash)).toEqual(['c'])
  expect(engine.audit.map(({what}) => what)).toEqual(['page.login', 'page.login', 'page.logout', 'page.login'])
})

test('however often somebody logs in, a token has at most a hundred logins, the newest ones', () => {
  const engine = new MemoryEngine()
  engine.run(openBrowserSession, login('other', 'of-somebody-else'))
  for (let n = 0; n < 150; n++) engine.run(openBrowserSession, login(`s${n}`))
  expect(engine.state.count('browserSessionsOf', 't')).toBe(100)
  expect(browserSessionOf(engine.state, 's49')).toBeUndefined()
  expect(browserSessionOf(engine.state, 's50')).toBeDefined()
  expect(browserSessionOf(engine.state, 'other')).toBeDefined()
})

test('a link is used once and in time, and there are never more than a thousand', () => {
  const engine = new MemoryEngine()
  engine.run(createPageLink, {hash: 'once', token: 't'})
  expect(engine.run(usePageLink, {hash: 'once'})).toBe('t')
  expect(engine.run(usePageLink, {hash: 'once'})).toBeUndefined()
  engine.run(createPageLink, {hash: 'late', token: 't'})
  engine.time += linkMs
  expect(engine.run(usePageLink, {hash: 'late'})).toBeUndefined()
  for (let n = 0; n < 1100; n++) engine.run(createPageLink, {hash: `l${n}`, token: 't'})
  expect(engine.state.count('pageLinks', all)).toBe(1000)
  engine.time += linkMs
  engine.run(createPageLink, {hash: 'next', token: 't'})
  expect(engine.state.count('pageLinks', all)).toBe(1)
})
