import {expect, test} from 'vitest'
import {applyLiveSettings} from '../../src/lib/config/live-settings.ts'
import {resolveConfig} from '../../src/lib/config/resolve.ts'

const configOf = (flags: Record<string, unknown>) => resolveConfig({flags, env: {}, files: [], cwd: '/'}).config

test('live settings are changed in place; the others are listed and stay unchanged', () => {
  const config = configOf({max_concurrent_tasks: 1, server_url: 'http://one.test', allowed_models: ['a/b']})
  const fresh = configOf({max_concurrent_tasks: 3, server_url: 'http://two.test', codebases: ['/srv/api']})
  const changes = applyLiveSettings(config, fresh)
  expect(changes).toEqual({live: ['codebases', 'max_concurrent_tasks', 'allowed_models'], atStart: ['server_url']})
  expect(config).toEqual({...fresh, server_url: 'http://one.test'})
  expect(applyLiveSettings(config, fresh).live).toEqual([])
})
