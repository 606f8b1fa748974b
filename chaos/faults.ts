import type {ProcessIdentity} from '../src/lib/executor/processes/processes.ts'
import {isAlive} from '../src/lib/executor/processes/processes.ts'
import type {ProxyAction} from './fault-proxy.ts'
import type {Random} from './random.ts'
import {fillDisk, liveAgents, type Worker, type World} from './world.ts'

export type Fault = {
  name: string
  /** How often it is chosen, relative to the others. */
  weight: number
  /** It is too long for a short run. */
  isLong?: boolean
  /** It needs a private file system, which not every user may mount. */
  needsDisk?: boolean
  /** It is about control planes that share their state. */
  needsReplicas?: boolean
  /** Injects the fault, and resolves when it has ended. */
  run: (at: Scene) => Promise<void>
}

export type Scene = {world: World; worker: Worker; random: Random; sleep: (ms: number) => Promise<void>}

const hour = 3_600_000

/** The requests of a worker, by kind. */
const requests = {
  claim: /^POST .*\/tasks\/claim/,
  output: /^POST .*\/output/,
  report: /^PUT .*\/status/,
  heartbeat: /^POST .*\/heartbeat/,
  registration: /^POST .*\/workers\/register/,
  stream: /^GET .*\/tasks\/stream/,
  decline: /^POST .*\/tasks\/decline/,
}

/** For a while, applies an action to matching requests, with this probability. */
async function disturbRequests(
  {worker, random, sleep}: Scene,
  pattern: RegExp,
  probability: number,
  action: () => ProxyAction,
) {
  worker.proxy.chooseAction = (request) =>
    pattern.test(request) && random.chance(probability) ? action() : {do: 'pass'}
  await sleep(random.int(500, 4000))
  worker.proxy.chooseAction = () => ({do: 'pass'})
}

/** Chooses the action for the next matching request only. */
async function disturbNext({worker, sleep}: Scene, pattern: RegExp, choose: () => ProxyAction): Promise<void> {
  const state = {isDone: false}
  worker.proxy.chooseAction = (request) => {
    if (state.isDone || !pattern.test(request)) return {do: 'pass'}
    state.isDone = true
    return choose()
  }
  for (let waited = 0; !state.isDone && waited < 3000; waited += 50) await sleep(50)
  worker.proxy.chooseAction = () => ({do: 'pass'})
}

/** Calls `act` after the server has answered the next matching request, before the answer is passed on. */
const afterNext = (at: Scene, pattern: RegExp, act: () => void) =>
  disturbNext(at, pattern, () => ({do: 'intervene', act}))

/** Calls `act` instead of passing on the next matching request. */
const insteadOfNext = (at: Scene, pattern: RegExp, act: () => void) =>
  disturbNext(at, pattern, () => {
    act()
    return {do: 'hang'}
  })

/** For longer than an assignment lasts, the worker receives tasks and can tell the control plane nothing. */
async function muteWorker({worker, random, sleep}: Scene): Promise<void> {
  worker.proxy.chooseAction = (request) => (/^(POST|PUT) /.test(request) ? {do: 'hang'} : {do: 'pass'})
  await sleep(random.int(11_000, 15_000))
  worker.proxy.chooseAction = () => ({do: 'pass'})
  worker.proxy.cut(/tasks\/claim|output|status|heartbeat|register/)
}

const errorPage = '<html><body><h1>502 Bad Gateway</h1></body></html>'
const answerWith = (status: number, headers: Record<string, string> = {}): ProxyAction => ({
  do: 'answer',
  status,
  headers: {'content-type': 'text/html', ...headers},
  body: errorPage,
})

async function pauseProcess({random, sleep}: Scene, signal: (name: NodeJS.Signals) => void): Promise<void> {
  signal('SIGSTOP')
  await sleep(random.int(300, 5000))
  signal('SIGCONT')
}

function send(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(pid, signal)
  } catch {
    // it has ended meanwhile
  }
}

function sendTo(agent: ProcessIdentity | undefined, signal: NodeJS.Signals): void {
  if (agent && isAlive(agent)) send(agent.pid, signal)
}

const randomAgent = ({world, random}: Scene) => {
  const all = liveAgents(world)
  return all.length === 0 ? undefined : random.pick(all)
}

async function jumpClock(process: Worker['process'], {random, sleep}: Scene): Promise<void> {
  process.writeControlFile('clock', String(random.int(-6 * hour, 6 * hour)))
  await sleep(500)
}

/** Two that restart Redis at once would wait for the port of each other. */
let redisRestarted: Promise<void> = Promise.resolve()

/** All faults, with the part of the system that they affect. */
export const faults: Fault[] = [
  {name: 'kill -9 of a worker', weight: 4, run: async ({worker}) => worker.process.signal('SIGKILL')},
  {
    name: 'kill -9 of a worker and an agent at once',
    weight: 3,
    run: async (at) => {
      const agent = randomAgent(at)
      at.worker.process.signal('SIGKILL')
      sendTo(agent, 'SIGKILL')
    },
  },
  {name: 'kill -9 of an agent', weight: 2, run: async (at) => sendTo(randomAgent(at), 'SIGKILL')},
  {
    name: 'kill -9 of the control plane',
    weight: 3,
    run: async ({world, random}) => random.pick(world.planes).signal('SIGKILL'),
  },
  ...(['before the spawn', 'after the spawn'] as const).map((step) => ({
    name: `a worker dies ${step} of an agent`,
    weight: 2,
    run: async ({worker, sleep}: Scene) => {
      worker.process.writeControlFile(step)
      await sleep(2000)
    },
  })),
  ...(['claim', 'output', 'report', 'heartbeat', 'registration', 'decline'] as const).map((kind) => ({
    name: `a worker dies between a ${kind} and its answer`,
    weight: kind === 'output' || kind === 'report' ? 2 : 1,
    run: (at: Scene) => afterNext(at, requests[kind], () => at.worker.process.signal('SIGKILL')),
  })),
  ...(['claim', 'output', 'report'] as const).map((kind) => ({
    name: `the control plane dies right after it accepted a ${kind}`,
    weight: 1,
    run: (at: Scene) => afterNext(at, requests[kind], () => at.random.pick(at.world.planes).signal('SIGKILL')),
  })),
  {name: 'assigned, not confirmed: the worker cannot be heard', weight: 3, run: muteWorker},
  {
    name: 'assigned, not confirmed: the worker dies before its confirmation',
    weight: 2,
    run: (at) => insteadOfNext(at, requests.claim, () => at.worker.process.signal('SIGKILL')),
  },
  {
    name: 'confirmed, answer lost',
    weight: 2,
    run: (at) => disturbRequests(at, requests.claim, 0.8, () => ({do: 'reset', when: 'after'})),
  },
  {name: 'SIGQUIT of a worker (detach)', weight: 1, run: async ({worker}) => worker.process.signal('SIGQUIT')},
  {name: 'SIGTERM of a worker (drain)', weight: 1, run: async ({worker}) => worker.process.signal('SIGTERM')},
  {
    name: 'a worker is stopped for a while',
    weight: 1,
    run: (at) => pauseProcess(at, (name) => at.worker.process.signal(name)),
  },
  {
    name: 'the control plane is stopped for a while',
    weight: 1,
    run: (at) => {
      const plane = at.random.pick(at.world.planes)
      return pauseProcess(at, (name) => plane.signal(name))
    },
  },
  {
    name: 'an agent is stopped for a while',
    weight: 1,
    run: (at) => {
      const agent = randomAgent(at)
      return pauseProcess(at, (name) => sendTo(agent, name))
    },
  },
  {name: 'connections are cut', weight: 2, run: async ({worker}) => worker.proxy.cut()},
  {
    name: 'requests are lost',
    weight: 1,
    run: (at) => disturbRequests(at, /./, 0.4, () => ({do: 'reset', when: 'before'})),
  },
  {
    name: 'answers are lost',
    weight: 3,
    run: (at) => disturbRequests(at, /./, 0.4, () => ({do: 'reset', when: 'after'})),
  },
  {
    name: 'requests arrive twice',
    weight: 3,
    run: (at) => disturbRequests(at, /^(POST|PUT)/, 0.6, () => ({do: 'double'})),
  },
  {
    name: 'answers are cut in half',
    weight: 2,
    run: (at) => disturbRequests(at, /^(POST|PUT)/, 0.4, () => ({do: 'truncate'})),
  },
  {
    name: 'requests are delayed',
    weight: 1,
    run: (at) => disturbRequests(at, /./, 0.7, () => ({do: 'delay', ms: at.random.int(50, 1500)})),
  },
  {
    name: 'a gateway answers 502 with an HTML page',
    weight: 1,
    run: (at) => disturbRequests(at, /./, 0.6, () => answerWith(502)),
  },
  {
    name: 'a portal answers 200 with an HTML page',
    weight: 1,
    run: (at) => disturbRequests(at, /./, 0.6, () => answerWith(200)),
  },
  {
    name: 'a proxy answers 404 with an HTML page',
    weight: 1,
    run: (at) => disturbRequests(at, /./, 0.5, () => answerWith(404)),
  },
  {
    name: '429 with Retry-After',
    weight: 1,
    run: (at) => disturbRequests(at, /./, 0.6, () => answerWith(429, {'retry-after': '1'})),
  },
  {
    name: 'the token is refused for a while',
    weight: 1,
    isLong: true,
    run: (at) => disturbRequests(at, /./, 0.6, () => answerWith(401)),
  },
  {
    name: 'a black hole',
    weight: 2,
    run: async ({worker, random, sleep}) => {
      worker.proxy.setBlackHole(true)
      await sleep(random.int(1000, 8000))
      worker.proxy.setBlackHole(false)
    },
  },
  {
    name: 'a black hole longer than a lease',
    weight: 1,
    isLong: true,
    run: async ({worker, random, sleep}) => {
      worker.proxy.setBlackHole(true)
      await sleep(random.int(65_000, 80_000))
      worker.proxy.setBlackHole(false)
    },
  },
  {
    name: 'Redis is killed and restarted',
    weight: 1,
    run: ({world, random, sleep}) =>
      (redisRestarted = redisRestarted.then(async () => {
        await world.redis.stop()
        await sleep(random.int(200, 3000))
        await world.redis.start()
      })),
  },
  {
    name: 'Redis is stopped for a while',
    weight: 1,
    run: (at) => pauseProcess(at, (name) => send(at.world.redis.process.pid, name)),
  },
  {
    name: 'a control plane is cut off from Redis',
    weight: 3,
    needsReplicas: true,
    run: async ({world, random, sleep}) => {
      const cable = random.pick(world.cables)
      cable.setBlackHole(true)
      await sleep(random.int(300, 8000))
      cable.setBlackHole(false)
    },
  },
  {
    name: 'the connections of a control plane to Redis break',
    weight: 2,
    needsReplicas: true,
    run: async ({world, random}) => random.pick(world.cables).cut(),
  },
  {
    name: 'all control planes die at once',
    weight: 1,
    needsReplicas: true,
    run: async ({world}) => world.planes.forEach((plane) => plane.signal('SIGKILL')),
  },
  {name: "a worker's clock jumps", weight: 1, run: (at) => jumpClock(at.worker.process, at)},
  {name: "the control plane's clock jumps", weight: 1, run: (at) => jumpClock(at.random.pick(at.world.planes), at)},
  {
    name: 'a disk is full for a while',
    weight: 3,
    needsDisk: true,
    run: async ({world, random, sleep}) => {
      const free = fillDisk(random.pick(world.disks))
      await sleep(random.int(500, 5000))
      free()
    },
  },
]
