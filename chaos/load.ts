import type {Task} from '../src/lib/protocol/schemas.ts'
import {ownRunGroups} from '../src/lib/executor/processes/run-groups.ts'
import type {Random} from './random.ts'
import type {World} from './world.ts'

export type Plan = {
  lines: number
  pauseMs: number
  bytes: number
  end: 'done' | 'silent' | 'error'
  child: 'none' | 'marked' | 'folder' | 'descriptor' | 'shed'
  traps: boolean
}

/** A created task. `plan` is undefined if the real OpenCode runs it. */
export type CreatedTask = {id: string; plan: Plan | undefined; worker: string; wasCancelled: boolean; isOver: boolean}

/** Without control groups nothing tells that a process which has shed all signs belongs to its run. */
const hasGroups = ownRunGroups() !== undefined

const maxOpen = {stub: 7, real: 1}

/** Creates tasks, and cancels some of them, until aborted. */
export async function createTasks(world: World, random: Random, signal: AbortSignal): Promise<CreatedTask[]> {
  const {client, workers} = world
  const created: CreatedTask[] = []
  const trees = await registeredCodebases(world)
  for (let i = 0; !signal.aborted; i++) {
    await new Promise((resolve) => setTimeout(resolve, random.int(50, 600)))
    for (const task of created.filter(({isOver}) => !isOver)) task.isOver = isFinal(await client.task(task.id))
    const open = (isReal: boolean) =>
      created.filter(({isOver, plan}) => !isOver && (plan === undefined) === isReal).length
    const worker = random.pick(workers)
    const {isReal} = worker
    if (open(isReal) < (isReal ? maxOpen.real : maxOpen.stub)) {
      const plan = isReal ? undefined : randomPlan(random)
      const prompt = plan ? JSON.stringify(plan) : realPrompt(i)
      // Some are portable: any worker may take them.
      const codebase = !isReal && random.chance(0.15) ? 'global' : (trees.get(random.pick(worker.paths)) ?? '')
      const {id} = await client.create(codebase, {title: `task ${i}`, prompt}, `chaos-${i}`)
      created.push({id, plan, worker: worker.process.name, wasCancelled: false, isOver: false})
    }

    if (random.chance(0.06)) await cancelRandomTask(world, random, created)
  }

  return created
}

export const isFinal = ({status}: Task) => status === 'completed' || status === 'failed' || status === 'cancelled'

async function cancelRandomTask({client}: World, random: Random, created: CreatedTask[]): Promise<void> {
  const open = created.filter(({isOver, wasCancelled}) => !isOver && !wasCancelled)
  if (open.length === 0) return
  const task = random.pick(open)
  task.wasCancelled = true
  await client.cancel(task.id)
}

/** The id of each codebase by path, once all are registered. */
export async function registeredCodebases({client, workers}: World): Promise<Map<string, string>> {
  const wanted = workers.flatMap(({paths}) => paths)
  for (;;) {
    const known = new Map((await client.codebases()).map(({id, path}) => [path, id]))
    if (wanted.every((path) => known.has(path))) return known
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function randomPlan(random: Random): Plan {
  const kind = random.next()
  const lines = random.int(0, kind < 0.2 ? 1000 : 120)
  return {
    lines,
    pauseMs: kind < 0.2 ? 0 : kind < 0.7 ? random.int(0, 15) : random.int(20, 120),
    bytes: random.pick([0, 40, 200, 800]),
    end: random.pick(['done', 'done', 'done', 'done', 'done', 'done', 'silent', 'error']),
    child: random.pick(['none', 'none', 'none', 'marked', 'folder', 'descriptor', hasGroups ? 'shed' : 'marked']),
    traps: random.chance(0.1),
  }
}

const realPrompt = (i: number) => `[fake:bash cmd="echo ${i} >> done; sleep 1"] [fake:text say=task-${i}]`
