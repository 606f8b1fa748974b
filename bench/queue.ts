// 200 trivial tasks in 8 codebases with 2 slots. The floor is a bare loop that starts the same program two at a time, in
// control groups if the worker has them.
import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {mkdirSync} from 'node:fs'
import {join} from 'node:path'
import {groupsFolder, inGroup} from './floor/group.ts'
import {buildAgent, environment, httpCaller, median, report, scratchFolder, startFleet, until} from './support.ts'

const tasks = Number(process.env['TASKS'] ?? 200)
const rounds = Number(process.env['ROUNDS'] ?? 3)
using scratch = scratchFolder()
const agent = buildAgent(scratch.path)
const env = environment(scratch.path, agent)
await using fleet = await startFleet(scratch.path, env, {codebases: 8, slots: 2})
const call = httpCaller(fleet.url)
const groups = groupsFolder()
const cwd = join(scratch.path, 'bare')
mkdirSync(cwd)

/** Returns the number of tasks per second. */
async function runTasks(): Promise<number> {
  const begun = performance.now()
  const created = await Promise.all(
    Array.from({length: tasks}, (_, i) =>
      call('POST', `/v1/opencode/codebases/${fleet.ids[i % 8]}/tasks`, {title: `task ${i}`, prompt: 'x'}),
    ),
  )
  // One request at a time, in the order of creation. After the last answer all tasks have ended.
  for (const answer of created) {
    const {id} = (answer as {task: {id: string}}).task
    await until(async () => {
      const {status} = (await call('GET', `/v1/opencode/tasks/${id}`)) as {status: string}
      if (status === 'failed') throw new Error('a task failed')
      return status === 'completed'
    }, 'the tasks to end')
  }

  const took = performance.now() - begun
  return (1000 * tasks) / took
}

async function bare(): Promise<number> {
  const begun = performance.now()
  let left = tasks
  const slot = async () => {
    while (left-- > 0) {
      const {program, args, remove} = inGroup(groups, agent, ['run', 'x'])
      await once(spawn(program, args, {cwd, env, stdio: 'ignore', detached: true}), 'exit')
      remove()
    }
  }
  await Promise.all([slot(), slot()])
  return (1000 * tasks) / (performance.now() - begun)
}

await runTasks()
const rates: number[] = []
const floors: number[] = []
for (let round = 0; round < rounds; round++) {
  floors.push(await bare())
  rates.push(await runTasks())
}

report(`${tasks} tasks, 2 slots, 8 codebases`, median(rates), median(floors), '/s', '≥ 0.5')
