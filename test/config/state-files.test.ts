import {mkdirSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {workerIdentity} from '../../src/lib/config/identity.ts'
import {readLocalControlPlane} from '../../src/lib/config/local-control-plane.ts'
import {resolveConfig} from '../../src/lib/config/resolve.ts'
import {scratchFolder} from '../support/scratch.ts'

test.each([{url: 'http://['}, {url: 'ftp://h'}, {port: 70_000}, {port: 1.5}, {token: 'a\nb'}, {token: ''}])(
  'a local.json with %j is ignored',
  (change) => {
    using scratch = scratchFolder()
    const good = {url: 'http://127.0.0.1:7420', port: 7420, token: 'abc'}
    const write = (plane: object) => writeFileSync(join(scratch.path, 'local.json'), JSON.stringify(plane))
    write(good)
    expect(readLocalControlPlane(scratch.path)).toEqual(good)
    write({...good, ...change})
    expect(readLocalControlPlane(scratch.path)).toBeUndefined()
  },
)

test('an id that no HTTP header can carry is replaced if it was stored, and refused if it was configured', () => {
  using scratch = scratchFolder()
  mkdirSync(join(scratch.path, 'workers/w'), {recursive: true})
  writeFileSync(join(scratch.path, 'workers/w/identity.json'), JSON.stringify({worker_id: 'a\nb'}))
  const place = {stateDir: scratch.path, name: 'w'}
  const {workerId: id} = workerIdentity(place)
  expect(id).toMatch(/^[0-9a-f]{12}$/)
  expect(workerIdentity(place).workerId).toBe(id)
  expect(() => resolveConfig({flags: {worker_id: 'a b'}, env: {}, files: [], cwd: '/'})).toThrow(/worker_id .*visible/)
})
