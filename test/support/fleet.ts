import {stop, type Running} from './cli.ts'
import {caller} from './plane.ts'
import {until} from './scratch.ts'
import {assertRunning, openWorkshop} from './workshop.ts'

/** A control plane and workers as processes of their own, in a scratch folder, ended when disposed. */
export async function startFleet(options: {env?: Record<string, string>} = {}) {
  const workshop = openWorkshop(options.env)
  const serve = async (port: number): Promise<{process: Running; url: string}> => {
    const process = workshop.start(['serve', '--port', String(port)])
    const url = await until(() => process.stdout().trim() || assertRunning(process), 'the control plane to listen')
    return {process, url}
  }
  const first = await serve(0)
  const port = Number(new URL(first.url).port)
  const fleet = {
    path: workshop.path,
    env: workshop.env,
    url: first.url,
    plane: first.process,
    http: caller(first.url),
    /** Kills the control plane without a word. */
    killPlane: () => stop(fleet.plane, 'SIGKILL'),
    restartPlane: async () => {
      fleet.plane = (await serve(port)).process
    },
    worker: (name: string, codebases: string[], args: string[] = []) =>
      workshop.worker(first.url, name, codebases, args),
    /** A worker that reaches the control plane by another address. */
    workerAt: workshop.worker,
    start: (args: string[]) => workshop.start([...args, '--server', first.url]),
    run: (args: string[], options: Parameters<typeof workshop.cli>[1]) =>
      workshop.cli([...args, '--server', first.url], options),
    cli: (args: string[], input?: string) => fleet.run(args, input === undefined ? {} : {input}),
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
    [Symbol.asyncDispose]: () => workshop[Symbol.asyncDispose](),
  }
  return fleet
}
