import {createServer} from 'node:net'
import {once} from 'node:events'
import {errorCode, messageOf} from '../core/errors.ts'
import {addressText, parseListenAddress, type ListenAddress} from '../core/listen-address.ts'
import {parseJson} from '../protocol/parse.ts'
import {routes} from '../protocol/routes.ts'
import {ok, problem, type Finding, type MachineContext} from './finding.ts'

const check = 'health'
const answerMs = 3000

/** Checks that a worker can listen on health_addr, or that one does. */
export async function checkHealthAddress({config}: Pick<MachineContext, 'config'>): Promise<Finding[]> {
  const at = config.health_addr === undefined ? undefined : parseListenAddress(config.health_addr)
  if (!at || at.port === 0) return []
  const failure = await listenFailure(at)
  const where = `health_addr ${addressText(at)}`
  if (failure === undefined) return [ok(check, `${where} is free`)]
  if (errorCode(failure) !== 'EADDRINUSE')
    return [problem(check, `${where}: ${messageOf(failure)}`, 'Choose an address of this machine in health_addr.')]
  const worker = await workerAt(at)
  if (worker !== undefined) return [ok(check, `${where} is that of worker ${worker}`)]
  const fix = 'Choose another port: a2a-worker config set health_addr PORT'
  return [problem(check, `${where} is taken by another program`, fix, `ss -ltnp 'sport = :${at.port}'`)]
}

async function listenFailure({host, port}: ListenAddress): Promise<unknown> {
  const server = createServer()
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    return error
  }

  server.close()
  await once(server, 'close')
  return undefined
}

/** The name of the worker that answers there. */
async function workerAt({host, port}: ListenAddress): Promise<string | undefined> {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  const url = `http://${addressText({host: reachable, port})}${routes.livez}`
  try {
    const response = await fetch(url, {signal: AbortSignal.timeout(answerMs)})
    const body = parseJson(await response.text())
    const worker = typeof body === 'object' && body !== null && 'worker' in body ? body.worker : undefined
    return typeof worker === 'string' ? worker : undefined
  } catch {
    return undefined
  }
}
