import {writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import type {TaskInput} from '../../../src/lib/protocol/task-input.ts'
import {isFinal, type Task} from '../../../src/lib/protocol/schemas.ts'
import {formatPublicKey, generatePrivateKey, publicKeyOf} from '../../../src/lib/signing/keys.ts'
import {signInput} from '../../../src/lib/signing/sign-input.ts'
import {signTask} from '../../../src/lib/signing/sign-task.ts'
import {acpExecutor} from '../../support/acp-agent.ts'
import {startInProcessWorker, type InProcessWorkerOptions} from '../../support/in-process-worker.ts'
import {startPlane} from '../../support/plane.ts'
import {repository, scratchFolder, until} from '../../support/scratch.ts'

const asking = (folder: string) => acpExecutor(folder, {policy: {permissions: 'ask', askMs: 600_000}})

/** A control plane and a worker whose agents ask for permissions. */
async function askingWorker({
  metadata,
  ...options
}: InProcessWorkerOptions & {metadata?: (task: object) => Promise<object>} = {}) {
  const scratch = scratchFolder()
  const plane = await startPlane()
  const tree = repository(join(scratch.path, 'tree'))
  const worker = await startInProcessWorker(plane.url, [tree], {factor: 1, executor: asking, ...options})
  const {client} = worker
  const codebase = await until(async () => (await client.codebases())[0], 'the codebase')
  const task = async (prompt: string): Promise<Task> => {
    const plain = {title: 't', prompt, agent_type: 'build', metadata: {}}
    return await plane.task(codebase.id, {
      ...plain,
      metadata: (await metadata?.({...plain, model: null, codebase})) ?? {},
    })
  }
  let sent = 0
  return {
    ...{plane, worker, client, task},
    asked: (id: string) =>
      until(
        async () => (await client.task(id)).waiting_for?.[0],
        () => `a question of ${id}: ${worker.log()}`,
        15_000,
      ),
    say: (id: string, input: Partial<TaskInput> & {signature?: string}) =>
      client.sendInput(id, {id: `i${(sent += 1)}`, ...input}),
    ended: (id: string) =>
      until(
        async () => {
          const now = await client.task(id)
          return isFinal(now.status) ? now : undefined
        },
        () => `the end of ${id}: ${worker.log()}`,
        20_000,
      ),
    settled: (id: string, input: string) =>
      until(
        async () => (await client.inputs(id)).find((one) => one.id === input && one.state !== 'stored'),
        'the result',
        15_000,
      ),
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]()
      await plane.close()
      scratch[Symbol.dispose]()
    },
  }
}

test('a question reaches the control plane, its answer the agent, and the result the control plane', async () => {
  await using at = await askingWorker()
  const {id} = await at.task('permission p edit a file\ntext done')
  const question = await at.asked(id)
  expect(question).toMatchObject({kind: 'permission', title: 'edit a file'})
  expect((await at.client.task(id)).waiting).toBe('asks for a permission: edit a file')
  await at.say(id, {question: question.id, option: 'allow'})
  expect(await at.ended(id)).toMatchObject({status: 'completed', result: expect.stringContaining('p: once')})
  expect(await at.client.inputs(id)).toMatchObject([{id: 'i1', state: 'delivered', reason: null}])
  const events = at.worker.events.flatMap((event) =>
    event.type === 'task.questions'
      ? [String(event.questions.length)]
      : event.type === 'task.input'
        ? [event.outcome]
        : [],
  )
  expect(events.toSorted()).toEqual(['0', '1', 'delivered'])
  expect(at.worker.log()).toMatch(/Task asks for a permission: edit a file/)
})

test('a word to a running task is the next turn; one that steers ends the turn first', async () => {
  await using at = await askingWorker()
  const queued = await at.task('sleep 300\ntext one')
  await until(async () => (await at.client.task(queued.id)).status === 'running', 'the run')
  await at.say(queued.id, {text: 'text two'})
  expect((await at.ended(queued.id)).result).toBe('two')
  const steered = await at.task('tool bash one\nforever')
  await until(async () => (await at.client.task(steered.id)).session_id, 'the session')
  await at.say(steered.id, {text: 'text two', mode: 'steer'})
  expect(await at.ended(steered.id)).toMatchObject({status: 'completed', result: 'two'})
})

test('a long text is fetched', async () => {
  await using at = await askingWorker()
  const {id} = await at.task('permission p edit')
  const {id: question} = await at.asked(id)
  await at.say(id, {text: `text ${'x'.repeat(60_000)}`})
  await at.say(id, {question, option: 'deny'})
  expect((await at.ended(id)).result).toMatch(/^x{50000}/)
})

test('an agent that takes no inputs refuses them, with the reason', async () => {
  await using at = await askingWorker({executor: undefined as never})
  const {id} = await at.task('sleep 3')
  await until(async () => (await at.client.task(id)).status === 'running', 'the run')
  await at.say(id, {text: 'hello'})
  expect(await at.settled(id, 'i1')).toMatchObject({state: 'refused', reason: 'this agent takes no inputs'})
})

test('where tasks are verified, only what is signed is passed on, and a refusal', async () => {
  using scratch = scratchFolder()
  const [key, other] = [generatePrivateKey(), generatePrivateKey()]
  const keys = join(scratch.path, 'keys')
  writeFileSync(keys, `${formatPublicKey(publicKeyOf(key))}\n`)
  const time = {now: Date.now(), validMs: 60_000}
  await using at = await askingWorker({
    settings: {verify_tasks: 'require', trusted_keys: [keys]},
    metadata: async (task) => await signTask(task as never, (task as {codebase: never}).codebase, key, time),
  })
  const {id} = await at.task('permission p edit\npermission q edit more')
  const first = await at.asked(id)
  const answer = {question: first.id, option: 'allow', text: null, mode: 'queue' as const}
  const send = async (name: string, signature?: string, more: object = {}) => {
    const input = {...answer, ...more, id: name, ...(signature ? {signature} : {})}
    await at.client.sendInput(id, input)
    return await at.settled(id, name)
  }
  expect(await send('none')).toMatchObject({
    state: 'refused',
    reason: 'verify_tasks (unsigned): What was said is not signed.',
  })
  const foreign = await signInput(id, {...answer, id: 'foreign'}, other, time)
  expect((await send('foreign', foreign)).reason).toMatch(/unknown-key/)
  const forOther = await signInput('another', {...answer, id: 'moved'}, key, time)
  expect((await send('moved', forOther)).reason).toMatch(/\(changed\)/)
  const forOne = await signInput(id, {...answer, id: 'right', option: 'always'}, key, time)
  expect((await send('right', forOne)).reason).toMatch(/\(changed\)/)
  const old = await signInput(id, {...answer, id: 'old'}, key, {now: Date.now() - 600_000, validMs: 1000})
  expect((await send('old', old)).reason).toMatch(/\(expired\)/)
  const said = await send('said', undefined, {question: null, option: null, text: 'text more'})
  expect(said.reason).toMatch(/unsigned/)
  expect((await at.asked(id)).id).toBe(first.id)
  expect(await send('signed', await signInput(id, {...answer, id: 'signed'}, key, time))).toMatchObject({
    state: 'delivered',
  })
  const second = await until(
    async () => (await at.client.task(id)).waiting_for?.find((one) => one.id !== first.id),
    'more',
    15_000,
  )
  expect(await send('no', undefined, {question: second.id, option: 'deny'})).toMatchObject({state: 'delivered'})
  expect((await at.ended(id)).result).toContain('q: reject')
})
