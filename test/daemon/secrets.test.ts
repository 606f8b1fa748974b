import {mkdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {collectSecrets} from '../../src/lib/daemon/secrets.ts'
import {scratchFolder} from '../support/scratch.ts'

test('secrets are tokens, passwords in URLs, what agents get and is named like one, and the logins of OpenCode', () => {
  using scratch = scratchFolder()
  const data = join(scratch.path, 'opencode')
  mkdirSync(data)
  const auth = {
    anthropic: {type: 'api', key: 'sk-ant-1'},
    other: {type: 'oauth', access: 'access-1', refresh: 'refresh-1', expires: 5},
    odd: {type: 'wellknown', token: 'token-1', nested: {key: 'deep-1'}},
  }
  writeFileSync(join(data, 'auth.json'), JSON.stringify(auth))
  const env = {
    XDG_DATA_HOME: scratch.path,
    OPENCODE_ZEN_KEY: 'zen-key',
    DEPLOY_TOKEN: 'deploy-token',
    DATABASE_URL: 'postgres://me:p%40ss@db.example/x',
    HTTPS_PROXY: 'http://me:proxy-pass@proxy.example:3128',
    WITHHELD_SECRET: 'no agent gets this',
    PATH: '/usr/bin',
  }
  const config = {env_allow: ['DEPLOY_TOKEN', 'DATABASE_URL'], proxy: undefined, health_token: undefined}
  const found = collectSecrets({env, config, tokens: ['worker-token']})
  expect(new Set(found)).toEqual(
    new Set([
      ...['worker-token', 'proxy-pass', 'zen-key', 'deploy-token', 'p%40ss', 'p@ss'],
      ...['sk-ant-1', 'access-1', 'refresh-1', 'token-1', 'deep-1'],
    ]),
  )
})

test('a missing or broken auth.json is no problem', () => {
  using scratch = scratchFolder()
  mkdirSync(join(scratch.path, 'opencode'))
  writeFileSync(join(scratch.path, 'opencode/auth.json'), '{"a":')
  expect(
    collectSecrets({
      env: {XDG_DATA_HOME: scratch.path},
      config: {env_allow: [], proxy: undefined, health_token: undefined},
      tokens: [],
    }),
  ).toEqual([])
})
