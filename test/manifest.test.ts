import {Config} from '@oclif/core'
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
// @ts-expect-error -- plain JavaScript, shared with `npm run manifest`
import {generatedPages} from '../scripts/reference/pages.mjs'
import {root} from './support/cli.ts'

test('the committed manifest has the commands and flags of the program', async () => {
  const manifest = JSON.parse(readFileSync(join(root, 'oclif.manifest.json'), 'utf8')) as {
    version: string
    commands: Record<string, {flags: Record<string, unknown>; summary: string}>
  }
  const config = await Config.load({root, ignoreManifest: true})
  const own = config.commands.filter(({pluginName}) => pluginName === 'a2a-worker')
  expect(Object.keys(manifest.commands).sort()).toEqual(own.map(({id}) => id).sort())
  for (const command of own) {
    const noted = manifest.commands[command.id]
    expect(Object.keys(noted?.flags ?? {}).sort(), command.id).toEqual(Object.keys(command.flags).sort())
    expect(noted?.summary, command.id).toBe(command.summary)
    for (const [name, {env, summary = ''}] of Object.entries(command.flags))
      if (env !== undefined) expect(summary, `--${name}, whose variable the help names anyway`).not.toContain(env)
    expect(command.examples?.length, `examples of ${command.id}`).toBeGreaterThan(0)
  }
})

test('the generated pages and tables of the documentation are what the code renders (npm run manifest)', () => {
  for (const [page, text] of Object.entries(generatedPages(root) as Record<string, string>))
    expect(readFileSync(join(root, page), 'utf8') === text, page).toBe(true)
})
