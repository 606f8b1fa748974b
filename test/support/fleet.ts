import {mkdirSync} from 'node:fs'
import {join} from 'node:path'
import {cli, environment, start, stop, stubAgent, type Running} from './cli.ts'
import {caller} from './plane.ts'
import {scratchFolder, until} from './scratch.ts'

/** A control plane and workers as processes of their own, in a scratch folder, ended when disposed. */
export async function startFleet(options: {env?: Record<string, string>} = {}) {
  const scratch = scratchFolder()
  const env = environment(scratch.path, {
    OPENCODE_BIN_PATH: stubAgent,
    OPENCODE_STUB_LOG: join(scratch.path, 'agent.log'),
    ...options.env,
  })
  mkdirSync(join(scratch.path, 'home'))
  const running = new Set<Running>()
  const serve = async (port: number): Promise<{process: Running; url: string}> => {
    const process = start(['serve', '--port', String(port)], {cwd: scratch.path, env})
    running.add(process)
    const url = await until(() => process.stdout().trim() || failed(process), 'the control plane to listen')
    return {process, url}
  }
  const first = await serve(0)
  const port = Number(new URL(first.url).port)
  const fleet = {
    path: scratch.path,
    env,
    url: first.url,
    plane: first.process,
    http: caller(first.url),
    /** Kills the control plane without a word. */
    killPlane: () => stop(fleet.plane, 'SIGKILL'),
    restartPlane: async () => {
      fleet.plane = (await serve(port)).process
    },
    worker: async (name: string, codebases: string[], args: string[] = []): Promise<Running> => {
      const list = codebases.flatMap((path) => ['--codebase', path])
      const process = start(['start', '--server', first.url, '--name', name, ...list, ...args], {
        cwd: scratch.path,
        env,
      })
      running.add(process)
      await until(
        () => process.stderr().includes('Task stream connected') || failed(process),
        `worker ${name} to connect`,
      )
      return process
    },
    cli: (args: string[], input?: string) =>
      cli([...args, '--server', first.url], {cwd: scratch.path, env, ...(input === undefined ? {} : {input})}),
    codebaseId: async (path: string): Promise<string> => {
      const all = (await fleet.http.call('GET', '/v1/opencode/codebases')).body as {id: string; path: string}[]
      return all.find((codebase) => codebase.path === path)?.id ?? ''
    },
    ended: (task: string) =>
      until(async () => {
        const now = await fleet.http.get(task).catch(() => undefined)
        return now && ['completed', 'failed', 'cancelled'].includes(now.status) ? now : undefined
      }, `task ${task} to end`),
    output: async (task: string): Promise<string> => {
      const page = await fleet.http.call('GET', `/v1/opencode/tasks/${task}/output?since=0`)
      return page.body.outputs.map(({output}: {output: string}) => output).join('')
    },
    async [Symbol.asyncDispose]() {
      for (const process of running) if (process.process.exitCode === null) await stop(process, 'SIGKILL')
      scratch[Symbol.dispose]()
    },
  }
  return fleet
}

function failed(running: Running): undefined {
  if (running.process.exitCode !== null)
    throw new Error(`it ended with ${running.process.exitCode}: ${running.stderr()}`)
  return undefined
}
