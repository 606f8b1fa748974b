import {chmodSync, existsSync, mkdirSync, statSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {stateDirectory} from '../../src/lib/config/state-directory.ts'
import {findLocalWorkers, areServicesInaccessible} from '../../src/lib/control/local-workers.ts'
import {socketPath} from '../../src/lib/control/socket-path.ts'
import {startFleet} from '../support/fleet.ts'
import {repository, scratchFolder, until} from '../support/scratch.ts'

test("A2A_STATE_DIR takes precedence over systemd's directories, and the first of those counts", () => {
  const env = {STATE_DIRECTORY: '/var/lib/a:/var/lib/a/tmp', RUNTIME_DIRECTORY: '/run/a:/run/b', HOME: '/root'}
  expect(stateDirectory(env)).toBe('/var/lib/a')
  expect(stateDirectory({...env, A2A_STATE_DIR: '/srv/state'})).toBe('/srv/state')
  expect(stateDirectory({...env, STATE_DIRECTORY: ''})).toBe('/root/.local/state/a2a-worker')
  expect(socketPath(env, '/var/lib/a', 'w')).toBe('/run/a/w.sock')
  expect(socketPath({...env, XDG_RUNTIME_DIR: '/tmp'}, '/var/lib/a', 'w')).toBe('/run/a/w.sock')
})

test("a service's second socket is open to its group, and is found with another state directory and without a name", async () => {
  using scratch = scratchFolder()
  const services = join(scratch.path, 'run')
  mkdirSync(services, {mode: 0o750})
  await using fleet = await startFleet({env: {RUNTIME_DIRECTORY: services}})
  await fleet.worker('svc', [repository(join(fleet.path, 'p'))])
  const socket = join(services, 'svc.sock')
  await until(() => existsSync(socket), 'the socket')
  const reading = join(services, 'svc.read.sock')
  await until(() => existsSync(reading), 'the socket for the group')
  expect([socket, reading].map((path) => statSync(path).mode & 0o777)).toEqual([0o600, 0o660])
  const found = [{name: 'svc', socket, isService: true}]
  expect(await findLocalWorkers({HOME: scratch.path}, '/nowhere', undefined, services)).toMatchObject(found)
  expect(await findLocalWorkers({HOME: scratch.path}, '/nowhere', 'svc', services)).toMatchObject(found)
  expect(await findLocalWorkers({HOME: scratch.path}, '/nowhere', 'other', services)).toEqual([])
  expect(areServicesInaccessible(services)).toBe(false)
  expect(areServicesInaccessible(join(scratch.path, 'nothing'))).toBe(false)
})

test('the socket of any other worker is private to its user', async () => {
  await using fleet = await startFleet()
  await fleet.worker('own', [repository(join(fleet.path, 'p'))])
  const findWorker = async () => (await findLocalWorkers(fleet.env, fleet.env['A2A_STATE_DIR'] ?? ''))[0]
  const worker = await until(findWorker, 'the worker')
  expect(worker).toMatchObject({name: 'own', isService: false})
  expect(statSync(worker.socket).mode & 0o777).toBe(0o600)
})

test.skipIf(process.getuid?.() === 0)('an unreadable folder is not treated as empty', () => {
  using scratch = scratchFolder()
  const closed = join(scratch.path, 'closed')
  mkdirSync(closed)
  chmodSync(closed, 0)
  expect(areServicesInaccessible(closed)).toBe(true)
})
