import {chmodSync, existsSync, lstatSync, readdirSync, symlinkSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {repairModes} from '../../src/lib/config/repair-modes.ts'
import {repository, scratchFolder} from '../support/scratch.ts'
import {stop} from '../support/cli.ts'
import {openWorkshop, says} from '../support/workshop.ts'

const mode = (path: string) => (lstatSync(path).mode & 0o777).toString(8)

test('the state directory is closed to other users at each start, whatever was done to it, and the log says so', async () => {
  await using shop = openWorkshop()
  const tree = repository(join(shop.path, 'p'))
  const state = shop.env['A2A_STATE_DIR'] ?? ''
  await stop(await startHere())
  const all = readdirSync(state, {recursive: true, encoding: 'utf8'}).map((name) => join(state, name))
  for (const path of [state, ...all])
    if (!lstatSync(path).isSymbolicLink()) chmodSync(path, lstatSync(path).isDirectory() ? 0o755 : 0o644)
  const outside = join(shop.path, 'outside')
  writeFileSync(outside, '', {mode: 0o644})
  symlinkSync(outside, join(state, 'server.db-of-somebody'))

  const worker = await startHere()
  expect(worker.stderr()).toMatch(/WARN +Other users could read files of the state directory/)
  for (const path of ['', 'workers', 'lanes'].map((name) => join(state, name)))
    if (existsSync(path)) expect(mode(path), path).toBe('700')
  const [name = ''] = readdirSync(join(state, 'workers'))
  for (const file of ['local.json', 'control-plane.db', `workers/${name}/identity.json`, `workers/${name}/journal.db`])
    expect(mode(join(state, file)), file).toBe('600')
  expect(mode(outside)).toBe('644')
  await stop(worker)
  const again = await startHere()
  expect(again.stderr()).not.toContain('Other users could read')

  async function startHere() {
    const running = shop.start(['start', '--no-dashboard'], {cwd: tree})
    await says(running, 'Task stream connected')
    return running
  }
})

test('serve repairs it as well, and other things in a directory that was chosen for the state stay as they are', async () => {
  await using shop = openWorkshop()
  const state = shop.env['A2A_STATE_DIR'] ?? ''
  const first = shop.start(['serve', '--port', '0'])
  await says(first, 'clients')
  await stop(first)
  writeFileSync(join(state, 'notes.txt'), '', {mode: 0o644})
  chmodSync(state, 0o755)
  chmodSync(join(state, 'server.db'), 0o644)
  const second = shop.start(['serve', '--port', '0'])
  await says(second, /Other users could read files of the state directory.*server\.db/)
  await says(second, 'clients')
  expect([mode(state), mode(join(state, 'server.db')), mode(join(state, 'notes.txt'))]).toEqual(['755', '600', '644'])
})

test('a state directory that does not exist yet, or is empty, needs no repair', () => {
  using scratch = scratchFolder()
  expect(repairModes(join(scratch.path, 'none'))).toEqual([])
  chmodSync(scratch.path, 0o700)
  expect(repairModes(scratch.path)).toEqual([])
})
