import {describe, expect, test} from 'vitest'
import {agentEnvironment} from '../../../src/lib/opencode/program/environment.ts'

const environment = (base: NodeJS.ProcessEnv, allow: string[] = [], permissions?: unknown) =>
  agentEnvironment({base, cwd: '/code', tmpDir: '/run/tmp', marker: 'm1', allow, permissions})

describe('variables', () => {
  test('passes what an agent needs, and nothing else', () => {
    const env = environment({
      PATH: '/bin',
      LC_ALL: 'C',
      XDG_DATA_HOME: '/d',
      https_proxy: 'p',
      OPENCODE_CONFIG: '/c',
      SECRET: 's',
      A2A_AUTH_TOKEN: 't',
      OPENCODE_SERVER_PASSWORD: 'p',
      ANTHROPIC_API_KEY: 'k',
      EMPTY: undefined,
    })
    expect(env).toMatchObject({PATH: '/bin', LC_ALL: 'C', XDG_DATA_HOME: '/d', https_proxy: 'p', OPENCODE_CONFIG: '/c'})
    for (const name of ['SECRET', 'A2A_AUTH_TOKEN', 'OPENCODE_SERVER_PASSWORD', 'ANTHROPIC_API_KEY'])
      expect(env).not.toHaveProperty(name)
  })

  test('passes additionally allowed names and prefixes, but never our own settings', () => {
    const base = {ANTHROPIC_API_KEY: 'k', AWS_REGION: 'r', A2A_AUTH_TOKEN: 't', A2A_RUN: 'forged', OTHER: 'o'}
    const env = environment(base, ['ANTHROPIC_API_KEY', 'AWS_*', 'A2A_*', '*'])
    expect(env).toMatchObject({ANTHROPIC_API_KEY: 'k', AWS_REGION: 'r', OTHER: 'o', A2A_RUN: 'm1'})
    expect(env).not.toHaveProperty('A2A_AUTH_TOKEN')
  })

  test("sets the agent's directory and temporary folder, and ignores the worker's", () => {
    expect(environment({PWD: '/elsewhere', TMPDIR: '/tmp'})).toMatchObject({
      PWD: '/code',
      TMPDIR: '/run/tmp',
      A2A_RUN: 'm1',
      NO_COLOR: '1',
      GIT_TERMINAL_PROMPT: '0',
      OPENCODE_DISABLE_AUTOUPDATE: '1',
    })
  })
})

describe('permissions', () => {
  const rules = (setting?: unknown, variable?: string) =>
    JSON.parse(environment({OPENCODE_PERMISSION: variable}, [], setting)['OPENCODE_PERMISSION'] ?? '') as Record<
      string,
      object
    >

  test("deny what OpenCode would ask about, except for the run's own folder", () => {
    const found = rules()
    expect(found['doom_loop']).toBe('deny')
    expect(found['external_directory']).toEqual({'*': 'deny', '/run/tmp': 'allow', '/run/tmp/*': 'allow'})
    expect(JSON.stringify(found)).not.toContain('ask')
  })

  test('of the operator come after ours, because the last match wins', () => {
    const found = rules({external_directory: {'*': 'allow', '/etc/*': 'deny'}, bash: 'deny'})
    expect(Object.entries(found['external_directory'] ?? {})).toEqual([
      ['/run/tmp', 'allow'],
      ['/run/tmp/*', 'allow'],
      ['*', 'allow'],
      ['/etc/*', 'deny'],
    ])
    expect(found).toMatchObject({bash: 'deny', doom_loop: 'deny'})
  })

  test('in the variable take precedence over the setting', () => {
    expect(rules({bash: 'deny'}, '{"bash":{"git *":"allow"}}')['bash']).toEqual({'*': 'deny', 'git *': 'allow'})
  })

  test('may be one word for all permissions', () => {
    expect(Object.keys(rules('allow')).at(-1)).toBe('*')
  })

  test('that are invalid are an error that names the source', () => {
    expect(() => rules(undefined, '{broken')).toThrow(
      expect.objectContaining({exitCode: 78, message: expect.stringContaining('OPENCODE_PERMISSION')}),
    )
    expect(() => rules(['bash'])).toThrow('the setting `permissions`')
  })
})
