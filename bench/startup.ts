// The startup time of commands, with a bare `node -e 0` as the floor, of the repository and of the package; the time to
// install the package; and the memory of an idle worker.
import {spawnSync} from 'node:child_process'
import {globSync, readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {
  buildAgent,
  environment,
  median,
  program,
  report,
  residentMb,
  root,
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
/** The program of the repository, and the one of the package (`npm run package`), with the goals of both. */
const programs: [name: string, path: string, goals: Record<string, string>][] = [
  ['repository', program, {'--version': '≤ 1.3', 'tasks create --help': '≤ 5'}],
  ['package', join(root, 'build/package/bin/run.js'), {'--version': '≤ 1.2', 'tasks create --help': '≤ 3'}],
]
const commands = programs.flatMap(([name, path, goals]) =>
  ['--version', '--help', 'tasks create --help'].map((line) => ({
    name: `${line} (${name})`,
    args: [path, ...line.split(' ')],
    goal: goals[line] ?? '-',
    times: [] as number[],
  })),
)
for (const {args} of commands) timeCommand(args) // fills the compile cache
const bare: number[] = []
for (let round = 0; round < rounds; round++) {
  bare.push(timeCommand(['-e', '0']))
  for (const {args, times} of commands) times.push(timeCommand(args))
}

for (const {name, goal, times} of commands) report(name, median(times), median(bare), 'ms', goal)

using prefix = scratchFolder()
const archive = globSync('build/*.tgz', {cwd: root}).map((name) => join(root, name))
const begun = performance.now()
const install = ['install', '-g', '--offline', '--prefix', prefix.path, ...archive]
if (spawnSync('npm', install, {stdio: 'ignore'}).status !== 0) throw new Error('npm install of the package failed')
process.stdout.write(`npm install -g of the package: ${((performance.now() - begun) / 1000).toFixed(1)} s (goal ≤ 3)\n`)

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
