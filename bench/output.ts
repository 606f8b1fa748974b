// An agent prints 50 MB in 200-byte lines as fast as it can. The benchmark checks that each byte arrives in order, and
// measures time, memory of the worker, and slowdown of the agent. The floor is a bare loop that posts the file.
import {spawn} from 'node:child_process'
import {createHash, type Hash} from 'node:crypto'
import {once} from 'node:events'
import {mkdirSync, openSync, readdirSync, readFileSync} from 'node:fs'
import {open} from 'node:fs/promises'
import {join} from 'node:path'
import {startCommitFloor} from './commit-floor.ts'
import {
  buildAgent,
  calibrate,
  elapsed,
  environment,
  agentLog,
  httpCaller,
  median,
  nowNs,
  report,
  residentMb,
  scratchFolder,
  sleep,
  startFleet,
} from './support.ts'

const megabytes = Number(process.env['MB'] ?? 50)
const rounds = Number(process.env['ROUNDS'] ?? 3)
const lines = (megabytes * 1_000_000) / 200
const batch = 64 * 1024
using scratch = scratchFolder()
const agent = buildAgent(scratch.path)
const env = environment(scratch.path, agent)
await using fleet = await startFleet(scratch.path, env)
await using floorServer = await startCommitFloor(scratch.path)
const call = httpCaller(fleet.url)
const log = join(scratch.path, 'agent.log')
const worker = fleet.worker.child.pid ?? 0

/** Runs the agent without a worker. A bare loop posts its output file in batches. */
async function bare(round: number): Promise<{took: number; agentMs: number}> {
  const file = join(scratch.path, `bare-${round}`)
  const cwd = join(scratch.path, 'bare')
  mkdirSync(cwd, {recursive: true})
  const begun = performance.now()
  const child = spawn(agent, ['run', `@n=${lines} @len=200`], {
    cwd,
    env,
    stdio: ['ignore', openSync(file, 'a'), 'ignore'],
  })
  let agentMs = 0
  void once(child, 'exit').then(() => (agentMs = performance.now() - begun))
  const handle = await open(file)
  const buffer = Buffer.alloc(batch)
  for (let at = 0; ;) {
    const {bytesRead} = await handle.read(buffer, 0, batch, at)
    if (bytesRead === 0 && agentMs > 0) break
    if (bytesRead === 0) await sleep(1)
    else await floorServer.post(buffer.subarray(0, bytesRead))
    at += bytesRead
  }

  await handle.close()
  return {took: performance.now() - begun, agentMs}
}

async function runTask(): Promise<{took: number; agentMs: number; peakMb: number; id: string}> {
  const readAgentLog = agentLog(log)
  const before = residentMb(worker)
  calibrate()
  const begun = nowNs()
  const answer = await call('POST', `/v1/opencode/codebases/${fleet.ids[0]}/tasks`, {
    title: 't',
    prompt: `@n=${lines} @len=200`,
  })
  const {id} = (answer as {task: {id: string}}).task
  let peak = before
  for (let status = ''; status !== 'completed';) {
    await sleep(10)
    peak = Math.max(peak, residentMb(worker))
    status = ((await call('GET', `/v1/opencode/tasks/${id}`)) as {status: string}).status
    if (status === 'failed') throw new Error('the task failed')
  }

  const took = elapsed(begun, nowNs())
  const entries = readAgentLog()
  const [start, end] = ['start', 'end'].map((ev) => BigInt(entries.find((entry) => entry.ev === ev)?.t ?? 0))
  return {took, agentMs: elapsed(start ?? 0n, end ?? 0n), peakMb: peak - before, id}
}

async function storedDigest(id: string): Promise<{digest: string; bytes: number}> {
  const hash: Hash = createHash('sha256')
  let bytes = 0
  type Page = {outputs: {output: string}[]; next: number}
  for (let since = 0; ;) {
    const page = (await call('GET', `/v1/opencode/tasks/${id}/output?since=${since}`)) as Page
    if (page.outputs.length === 0) return {digest: hash.digest('hex'), bytes}
    for (const {output} of page.outputs) {
      hash.update(output)
      bytes += Buffer.byteLength(output)
    }

    since = page.next
  }
}

const spoolDigest = (id: string) => {
  const folder = join(scratch.path, 'state/workers/bench/runs', id)
  const spool = readFileSync(join(folder, readdirSync(folder)[0] ?? '', 'stdout.ndjson'))
  return {digest: createHash('sha256').update(spool).digest('hex'), bytes: spool.length}
}

const floors: Awaited<ReturnType<typeof bare>>[] = []
const results: Awaited<ReturnType<typeof runTask>>[] = []
for (let round = 0; round < rounds; round++) {
  floors.push(await bare(round))
  const result = await runTask()
  const [sent, stored] = [spoolDigest(result.id), await storedDigest(result.id)]
  if (sent.digest !== stored.digest) throw new Error(`${sent.bytes} bytes printed, ${stored.bytes} other bytes stored`)
  results.push(result)
}

report(
  `${megabytes} MB to completed`,
  median(results.map((r) => r.took)),
  median(floors.map((f) => f.took)),
  'ms',
  '≤ 4',
)
report('  the agent alone', median(results.map((r) => r.agentMs)), median(floors.map((f) => f.agentMs)), 'ms', '≈ 1')
process.stdout.write(
  `  worker's peak above idle: ${Math.max(...results.map((r) => r.peakMb)).toFixed(0)} MB (goal ≤ 60); every byte arrived in order\n`,
)
