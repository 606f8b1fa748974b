// An agent prints 50 MB while its worker works for a server like the existing one, which takes output as JSON only.
// Measures the peak memory of the worker: the goal is 150 MB.
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {ReferenceServer} from '../test/support/reference-server.ts'
import {repository} from '../test/support/scratch.ts'
import {stubBinary} from '../test/support/stub-executor.ts'
import {openWorkshop} from '../test/support/workshop.ts'
import {finish, text} from '../test/support/agent-lines.ts'
import {isFinal} from '../src/lib/protocol/schemas.ts'
import {median, sleep} from './support.ts'

const megabytes = Number(process.env['MB'] ?? 50)
const rounds = Number(process.env['ROUNDS'] ?? 5)

async function peakMb(): Promise<number> {
  await using server = await ReferenceServer.start()
  await using shop = openWorkshop({OPENCODE_BIN_PATH: stubBinary})
  const path = repository(join(shop.path, 'p'))
  const {process: worker} = await shop.worker(server.url, 'w', [path])
  const line = text('x'.repeat(100))
  const lines = Math.round((megabytes * 1_000_000) / (line.length + 1))
  const prompt = `yes '${line}' | head -n ${lines}; echo '${finish()}'`
  const {id} = server.trigger(server.codebaseId(path), {prompt})
  while (!isFinal(server.task(id).status)) await sleep(20)
  const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${worker.pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) / 1024
}

const peaks: number[] = []
for (let round = 0; round < rounds; round++) peaks.push(await peakMb())
console.log(
  `peak memory of the worker: ${median(peaks).toFixed(0)} MB (goal ≤ 150), of ${peaks.map(Math.round).join(', ')}`,
)
