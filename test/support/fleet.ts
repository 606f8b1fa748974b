import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {isFinal} from '../../src/lib/protocol/schemas.ts'
import type {Token} from '../../src/lib/server/http/auth.ts'
import {root, stop, type Running} from './cli.ts'
import {caller, startPlane} from './plane.ts'
import {until} from './scratch.ts'
import {assertRunning, openWorkshop} from './workshop.ts'

const {version} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {version: string}

export type FleetOptions = {
  env?: Record<string, string>
  /** Runs the control plane as a process, so that a test can kill it. Otherwise it runs in the process of the test. */
  isPlaneProcess?: boolean
  /** Tokens of the control plane. Calls of the test use the first one. */
  tokens?: Token[]
}

/** How long a task may take. OpenCode may wait a minute for a lock of its own that an ended process has left. */
const endMs = 90_000

/** A control plane, and workers in processes of their own, in a scratch folder. All end when it is disposed. */
export async function startFleet({env, isPlaneProcess = false, tokens = []}: FleetOptions = {}) {
  const workshop = openWorkshop(env)
  const serve = async (port: number): Promise<{process: Running; url: string}> => {
    const process = workshop.start(['serve', '--port', String(port)])
    const url = await until(() => process.stdout().trim() || assertRunning(process), 'the control plane to listen')
    return {process, url}
  }
  let served = isPlaneProcess ? await serve(0) : undefined
  const here = served ? undefined : await startPlane({version, tokens})
  const url = served?.url ?? here?.url ?? ''
  const plane = () => {
    if (!served) throw new Error('This control plane is no process: start the fleet with isPlaneProcess.')
    return served.process
  }
  const fleet = {
    path: workshop.path,
    env: workshop.env,
    url,
    /** The process of the control plane. */
    plane,
    http: caller(url, tokens[0]?.token),
    /** Kills the control plane with SIGKILL. */
    killPlane: () => stop(plane(), 'SIGKILL'),
    restartPlane: async () => {
      served = await serve(Number(new URL(url).port))
    },
    worker: (name: string, codebases: string[], args: string[] = []) => workshop.worker(url, name, codebases, args),
    /** A worker that reaches the control plane by another address. */
    workerAt: workshop.worker,
    start: (args: string[]) => workshop.start([...args, '--server', url]),
    /** Starts the program with another environment, or run by another command. */
    startAs: (args: string[], options: Parameters<typeof workshop.start>[1]) =>
      workshop.start([...args, '--server', url], options),
    /** Like `start` and `run`, but the program is not told the control plane. */
    startHere: workshop.start,
    runHere: workshop.cli,
    run: (args: string[], options: Parameters<typeof workshop.cli>[1]) =>
      workshop.cli([...args, '--server', url], options),
    cli: (args: string[], input?: string) => fleet.run(args, input === undefined ? {} : {input}),
    codebaseId: async (path: string): Promise<string> => {
      const all = (await fleet.http.call('GET', '/v1/opencode/codebases')).body as {id: string; path: string}[]
      return all.find((codebase) => codebase.path === path)?.id ?? ''
    },
    ended: (task: string) =>
      until(
        async () => {
          const now = await fleet.http.get(task).catch(() => undefined)
          return now && isFinal(now.status) ? now : undefined
        },
        `task ${task} to end`,
        endMs,
      ),
    output: async (task: string): Promise<string> => {
      const page = await fleet.http.call('GET', `/v1/opencode/tasks/${task}/output?since=0`)
      return page.body.outputs.map(({output}: {output: string}) => output).join('')
    },
    async [Symbol.asyncDispose]() {
      await workshop[Symbol.asyncDispose]()
      await here?.close()
    },
  }
  return fleet
}
