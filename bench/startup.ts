// The startup time of commands, with a bare `node -e 0` as the floor, and the memory of an idle worker.
import {spawnSync} from 'node:child_process'
import {readdirSync, readFileSync} from 'node:fs'
import {
  buildAgent,
  environment,
  median,
  program,
  report,
  residentMb,
  scratchFolder,
  sleep,
  startFleet,
} from './support.ts'

const rounds = Number(process.env['ROUNDS'] ?? 15)
using scratch = scratchFolder()
const env = environment(scratch.path, buildAgent(scratch.path))
const timeCommand = (args: string[]) => {
  const begun = performance.now()
  const {status} = spawnSync(process.execPath, args, {env, cwd: scratch.path, stdio: 'ignore'})
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}`)
  return performance.now() - begun
}
const commands: [name: string, args: string[], goal: string][] = [
  ['--version', [program, '--version'], '≤ 1.3'],
  ['--help', [program, '--help'], '-'],
  ['tasks create --help', [program, 'tasks', 'create', '--help'], '≤ 5'],
]
for (const [, args] of commands) timeCommand(args) // fills the compile cache
const bare: number[] = []
const times = commands.map((): number[] => [])
for (let round = 0; round < rounds; round++) {
  bare.push(timeCommand(['-e', '0']))
  for (const [i, [, args]] of commands.entries()) times[i]?.push(timeCommand(args))
}

for (const [i, [name, , goal]] of commands.entries()) report(name, median(times[i] ?? []), median(bare), 'ms', goal)

await using fleet = await startFleet(scratch.path, env)
await sleep(5000)
const pid = fleet.worker.child.pid ?? 0
process.stdout.write(
  `idle worker: ${residentMb(pid).toFixed(0)} MB (goal ≤ 95); idle control plane: ${residentMb(fleet.plane.child.pid ?? 0).toFixed(0)} MB\n`,
)
const files = readdirSync(`/proc/${pid}/fd`).length
process.stdout.write(
  `  ${files} open files, ${/Threads:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]} threads\n`,
)
