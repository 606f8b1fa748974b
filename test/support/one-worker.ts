import {join} from 'node:path'
import {startFaultProxy} from '../../chaos/fault-proxy.ts'
import {startFleet, type FleetOptions} from './fleet.ts'
import {repository} from './scratch.ts'
import {stubBinary} from './stub-executor.ts'

/**
 * A control plane and, behind a proxy that can be what networks are, one worker of one working tree, whose agents run
 * their prompt as a shell script.
 */
export async function startOneWorker({env = {}, args = [], ...rest}: FleetOptions & {args?: string[]} = {}) {
  const fleet = await startFleet({...rest, env: {OPENCODE_BIN_PATH: stubBinary, ...env}})
  const proxy = await startFaultProxy(fleet.url)
  const tree = repository(join(fleet.path, 'p'))
  const startWorker = () => fleet.workerAt(proxy.url, 'w', [tree], args)
  const worker = await startWorker()
  const codebase = await fleet.codebaseId(tree)
  return {
    ...fleet,
    proxy,
    tree,
    codebase,
    worker,
    /** The next process of the same worker. */
    startWorker,
    begin: async (script: string) => (await fleet.http.task(codebase, {prompt: script})).id,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await fleet[Symbol.asyncDispose]()
    },
  }
}
