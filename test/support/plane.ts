import {expect} from 'vitest'
import type {Task} from '../../src/lib/protocol/schemas.ts'
import {sharedIfAsked} from './shared-state.ts'
import {startControlPlane, type ControlPlaneOptions} from '../../src/lib/server/control-plane.ts'

export type Answer = {status: number; body: any; headers: Headers} // oxlint-disable-line typescript/no-explicit-any -- answers are looked at, not trusted

/** A control plane on loopback, with plain HTTP calls to it. */
export async function startPlane(options: Partial<ControlPlaneOptions> = {}) {
  const plane = await startControlPlane({
    host: '127.0.0.1',
    port: 0,
    database: ':memory:',
    ...sharedIfAsked(options),
    ...options,
  })
  const call = caller(plane.url)
  return {...call, url: plane.url, close: plane.close, [Symbol.asyncDispose]: plane.close}
}

export function caller(url: string, token?: string) {
  const call = async (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {'content-type': 'application/json', ...(token ? {authorization: `Bearer ${token}`} : {}), ...headers},
      ...(body === undefined ? {} : {body: typeof body === 'string' ? body : JSON.stringify(body)}),
    })
    const text = await response.text()
    return {status: response.status, body: text === '' ? undefined : JSON.parse(text), headers: response.headers}
  }
  return {
    call,
    /** Registers a worker and a codebase. Resolves with the id of the codebase. */
    async codebase(
      worker: string,
      path: string,
      more: Record<string, unknown> = {features: ['lease', 'fetch', 'decline']},
    ): Promise<string> {
      expect(
        (await call('POST', '/v1/opencode/workers/register', {worker_id: worker, name: worker, ...more})).status,
      ).toBe(200)
      const answer = await call('POST', '/v1/opencode/codebases', {name: path, path, worker_id: worker})
      return answer.body.codebase.id
    },
    async task(codebase: string, more: Record<string, unknown> = {}): Promise<Task> {
      const answer = await call('POST', `/v1/opencode/codebases/${codebase}/tasks`, {title: 't', prompt: 'p', ...more})
      expect(answer, JSON.stringify(answer.body)).toMatchObject({status: 200})
      return answer.body.task
    },
    claim: (worker: string, task: string) =>
      call('POST', `/v1/worker/tasks/claim?worker_id=${worker}`, {task_id: task}),
    get: async (task: string): Promise<Task> => (await call('GET', `/v1/opencode/tasks/${task}`)).body,
  }
}
