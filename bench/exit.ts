// The time from SIGTERM to the exit of an idle worker, including its unregistration. The floor is a bare node.
import {once} from 'node:events'
import {
  buildAgent,
  environment,
  median,
  report,
  scratchFolder,
  sleep,
  startFleet,
  startProgram,
  until,
  type Program,
} from './support.ts'

const rounds = Number(process.env['ROUNDS'] ?? 15)
/** After this time a worker has read the models of its agent, and is idle. */
const settleMs = 1000
using scratch = scratchFolder()
const env = environment(scratch.path, buildAgent(scratch.path))
const bareScript = 'process.on("message", () => {}); setInterval(() => {}, 1000); console.log("up")'

async function timeToExit({child}: Program): Promise<number> {
  const exited = once(child, 'exit')
  const begun = performance.now()
  child.kill('SIGTERM')
  await exited
  return performance.now() - begun
}

async function bare(): Promise<number> {
  await using program = startProgram([bareScript], env, scratch.path, '-e')
  await until(() => program.stdout(), 'node')
  return await timeToExit(program)
}

await using fleet = await startFleet(scratch.path, env)
const flags = ['--server', fleet.url, '--name', 'exit', '--codebase', scratch.path]

async function worker(): Promise<number> {
  await using program = startProgram(['start', ...flags], env, scratch.path)
  const count = async () => ((await fleet.call('GET', '/v1/worker/connected')) as {count: number}).count
  await until(async () => (await count()) === 2, 'the worker')
  await sleep(settleMs)
  return await timeToExit(program)
}

const times: {bare: number[]; worker: number[]} = {bare: [], worker: []}
for (let round = 0; round < rounds; round++) {
  times.bare.push(await bare())
  times.worker.push(await worker())
}

report('SIGTERM → exit, idle', median(times.worker), median(times.bare), 'ms', '≤ 10')
