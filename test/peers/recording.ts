import {readFileSync} from 'node:fs'

/** A recorded exchange. Header names and their order are as sent. `response` is the text of the body. */
export type Exchange = {
  method: string
  path: string
  headers: [name: string, value: string][]
  body: string | null
  status: number
  response_headers: [name: string, value: string][]
  response: string
}

type Name = 'python-worker--our-server' | 'python-worker--python-server' | 'our-worker--python-server'

/**
 * Traffic of the existing worker and server (rileyseaburg/codetether at ce51a8e, unmodified) and of ours at 9e45809,
 * recorded on 2026-11-28 between real processes on loopback. Ids, host names and paths were replaced.
 */
export const recording = (name: Name | 'client--python-server'): Exchange[] => readExchanges(`python-peers/${name}`)

/**
 * Traffic of worker and control plane of version 9e45809, recorded on 2026-11-29 between two processes on loopback. It is
 * in the order in which it happened. Ids, host names and paths were replaced, and repeated registrations removed.
 */
export const recordingOfVersion0 = (): Exchange[] => readExchanges('version-0/worker--plane')

const readExchanges = (name: string): Exchange[] =>
  readFileSync(new URL(`../fixtures/${name}.jsonl`, import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Exchange)

export const isStream = ({path}: Exchange) => /^[^?]*\/stream(\?|$)/.test(path)
export const titleOf = ({method, path, body, status}: Exchange) =>
  `${method} ${path}${body ? ` ${body.slice(0, 60)}` : ''}: ${status}`

/** The frames of a recorded stream. */
export const framesOf = (response: string) =>
  response.split('\n\n').flatMap((frame) => {
    const [, event] = /^event: (.*)$/m.exec(frame) ?? []
    const [, data] = /^data: (.*)$/m.exec(frame) ?? []
    return event === undefined || data === undefined ? [] : [{event, data: parse(data)}]
  })

const codebaseIds = /\bcb\d{6}\b/g
const taskIds = /\b00000000-0000-4000-8000-\d{12}\b/g

type RecordedTask = {codebase_id: string; prompt: string; title: string; metadata: Record<string, unknown>}

/** The fields of a task that another exchange of the recording shows. */
export function recordedTask(exchanges: Exchange[], id: string): Partial<RecordedTask> {
  for (const {response} of exchanges) {
    if (!response.includes(id)) continue
    for (const text of [response, ...response.split('\n').map((line) => line.replace(/^data: /, ''))]) {
      const task = findTask(parse(text), id)
      if (task) return task
    }
  }

  return {}
}

function findTask(value: unknown, id: string): RecordedTask | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if ('id' in value && value.id === id && 'codebase_id' in value) return value as unknown as RecordedTask
  return Object.values(value)
    .map((inner) => findTask(inner, id))
    .find((found) => found !== undefined)
}

export function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What the replay of an exchange needs of a server. */
export type Target = {
  url: string
  createTask(codebase: string, about: Omit<RecordedTask, 'codebase_id'>): Promise<string>
}

const plain = (target: Target, method: string, path: string, body?: object) =>
  fetch(target.url + path, {
    method,
    headers: {'content-type': 'application/json'},
    ...(body ? {body: JSON.stringify(body)} : {}),
  })

/**
 * Brings a server into the state that the exchange needs (its worker, codebases and tasks exist, and the worker holds what
 * it reports on), and repeats the request with the server's ids.
 */
export async function replay(exchange: Exchange, all: Exchange[], target: Target) {
  const {method, headers, body} = exchange
  const worker = all.some(({path}) => path.includes('worker-1')) ? 'worker-1' : 'w1'
  const text = `${exchange.path} ${body ?? ''}`
  const tasks = [...new Set(text.match(taskIds))].map((id) => ({id, about: recordedTask(all, id)}))
  const ids = new Map<string, string>()
  const live = (from: string) => [...ids].reduce((so, [old, id]) => so.replaceAll(old, id), from)
  await plain(target, 'POST', '/v1/opencode/workers/register', {worker_id: worker, name: worker, hostname: 'host'})
  const codebases = new Set([
    ...(text.match(codebaseIds) ?? []),
    ...tasks.map(({about}) => about.codebase_id ?? 'global'),
  ])
  for (const id of codebases) {
    if (id === 'global') continue
    const about = {name: id, path: `/home/worker/${id}`, worker_id: worker}
    const answer = (await (await plain(target, 'POST', '/v1/opencode/codebases', about)).json()) as {
      codebase: {id: string}
    }
    ids.set(id, answer.codebase.id)
  }

  for (const {id, about} of tasks) {
    const {codebase_id = 'global', title = 't', prompt = 'p', metadata = {}} = about
    ids.set(id, await target.createTask(live(codebase_id), {title, prompt, metadata}))
    const status = (parse(body ?? '') as {status?: string} | undefined)?.status
    const isHeld =
      exchange.path.includes('/output') || (method === 'PUT' && status !== 'running') || text.includes('release')
    if (!isHeld || exchange.status !== 200) continue
    await plain(target, 'PUT', `/v1/opencode/tasks/${ids.get(id)}/status`, {status: 'running', worker_id: worker})
    const output = {worker_id: worker, output: 'line'}
    if (method === 'GET') await plain(target, 'POST', `/v1/opencode/tasks/${ids.get(id)}/output`, output)
  }

  const [, codebase, session] = /^\/v1\/opencode\/codebases\/(\w+)\/sessions\/(ses_\w+)/.exec(exchange.path) ?? []
  if (codebase && session)
    await plain(target, 'POST', live(`/v1/opencode/codebases/${codebase}/sessions/sync`), {
      worker_id: worker,
      sessions: [{id: session, title: 'T', summary: {}}],
    })
  if (exchange.path.startsWith('/v1/worker/') && exchange.status === 200) {
    await fetch(`${target.url}/v1/worker/tasks/stream?worker_id=${worker}&agent_name=${worker}`) // open until the server ends
    if (exchange.path.includes('/release'))
      await plain(target, 'POST', `/v1/worker/tasks/claim?worker_id=${worker}`, {task_id: ids.get(tasks[0]?.id ?? '')})
  }

  // node computes these; all others are sent as recorded
  const own = new Set(['host', 'content-length', 'connection'])
  return await fetch(target.url + live(exchange.path), {
    method,
    headers: headers.filter(([name]) => !own.has(name.toLowerCase())),
    ...(body ? {body: live(body)} : {}),
  })
}

/** Where an answer lacks what the recorded one has, or has another type there. `at` names the place. */
export function lacks(recorded: unknown, ours: unknown, at = 'answer'): string[] {
  if (recorded === null || ours === null) return []
  if (Array.isArray(recorded) !== Array.isArray(ours) || typeof recorded !== typeof ours)
    return [`${at} is ${kindOf(ours)}, not ${kindOf(recorded)}`]
  if (Array.isArray(recorded) && Array.isArray(ours))
    return recorded.length > 0 && ours.length > 0 ? lacks(recorded[0], ours[0], `${at}[0]`) : []
  if (typeof recorded !== 'object') return []
  return Object.entries(recorded).flatMap(([key, value]) =>
    key in (ours as object)
      ? lacks(value, (ours as Record<string, unknown>)[key], `${at}.${key}`)
      : [`${at}.${key} is missing`],
  )
}

const kindOf = (value: unknown) => (Array.isArray(value) ? 'array' : typeof value)
