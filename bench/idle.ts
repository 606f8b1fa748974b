// The CPU time of idle programs, per minute: a worker, its control plane, and a worker with a control plane of its own.
// The floor is a bare Node process that holds a stream and sends a request each 15 s.
import {mkdirSync} from 'node:fs'
import http from 'node:http'
import type {AddressInfo} from 'node:net'
import {join} from 'node:path'
import {
  buildAgent,
  cpuMs,
  environment,
  report,
  root,
  scratchFolder,
  sleep,
  startFleet,
  startProgram,
} from './support.ts'

const seconds = Number(process.env['SECONDS'] ?? 120)
/** Until models were read and the heap was compacted. */
const settleSeconds = Number(process.env['SETTLE'] ?? 45)
const keepAliveMs = 15_000

using scratch = scratchFolder()
const agent = buildAgent(scratch.path)
const streams = http.createServer((request, response) => {
  if (request.method === 'POST') return void response.end('{}')
  response.writeHead(200, {'content-type': 'text/event-stream'}).write(': hi\n\n')
  const timer = setInterval(() => response.write(': keep-alive\n\n'), keepAliveMs)
  response.on('close', () => clearInterval(timer))
})
await new Promise<void>((resolve) => void streams.listen(0, '127.0.0.1', resolve))

const env = environment(scratch.path, agent)
await using fleet = await startFleet(scratch.path, env)
const alone = join(scratch.path, 'alone')
mkdirSync(join(alone, 'codebase'), {recursive: true})
const start = ['start', '--name', 'alone', '--codebase', join(alone, 'codebase')]
await using own = startProgram(start, environment(alone, agent), alone)
const port = String((streams.address() as AddressInfo).port)
await using bare = startProgram([port], env, scratch.path, join(root, 'bench/floor/idle.mjs'))

const programs = {bare, worker: fleet.worker, plane: fleet.plane, own}
type Name = keyof typeof programs
const cpu = () => {
  const of = (name: Name) => cpuMs(programs[name].child.pid ?? 0)
  return {bare: of('bare'), worker: of('worker'), plane: of('plane'), own: of('own')}
}

await sleep(settleSeconds * 1000)
const before = cpu()
await sleep(seconds * 1000)
const after = cpu()
const perMinute = (name: Name) => ((after[name] - before[name]) * 60) / seconds
report('idle worker, per minute', perMinute('worker'), perMinute('bare'), 'ms', '≤ 60 ms')
report('idle worker with its own plane', perMinute('own'), perMinute('bare'), 'ms', '≤ 90 ms')
report('idle control plane, one worker', perMinute('plane'), perMinute('bare'), 'ms', 'none')
streams.closeAllConnections()
streams.close()
