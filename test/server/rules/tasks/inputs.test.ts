import {expect, test} from 'vitest'
import type {InputResult, OpenQuestion, SignedInput} from '../../../../src/lib/protocol/task-input.ts'
import {HttpError} from '../../../../src/lib/server/http/http-error.ts'
import {waitingFor} from '../../../../src/lib/server/rules/tasks/dialogue.ts'
import {storeInput, type Accepted} from '../../../../src/lib/server/rules/tasks/inputs.ts'
import {takeQuestions} from '../../../../src/lib/server/rules/tasks/questions.ts'
import {cancelTask, claimTask, reportStatus} from '../../../../src/lib/server/rules/tasks/reports.ts'
import {pair} from '../../../../src/lib/server/state/records.ts'
import {addTask, addWorker, assigning, open} from '../../support/engine-world.ts'
import {MemoryEngine} from '../../support/memory-engine.ts'

const permission = (id: string, more: Partial<OpenQuestion> = {}): OpenQuestion => ({
  ...{id, kind: 'permission', title: 'bash: rm -r build', since: 1, until: null},
  options: [
    {id: 'yes', name: 'Once', kind: 'allow_once'},
    {id: 'no', name: 'No', kind: 'reject_once'},
  ],
  ...more,
})

/** A task `t` that runs on worker `w`. */
function running(features: readonly string[] = [...assigning, 'input']): MemoryEngine {
  const engine = new MemoryEngine()
  addWorker(engine, 'w', {codebases: ['c'], features})
  addTask(engine, 't', 'c', {metadata: {model: 'm', agent_program: 'opencode', max_cost: 2, other: 1}})
  engine.run(claimTask, {task_id: 't', worker_id: 'w', attempt: 1})
  return engine
}

const ask = (engine: MemoryEngine, questions: OpenQuestion[], inputs: InputResult[] = [], more = {}) =>
  engine.run(takeQuestions, {task_id: 't', worker_id: 'w', attempt: 1, questions, inputs, ...more})

let inputs = 0
function say(engine: MemoryEngine, input: Partial<SignedInput>, by: string | null = 'ann'): Accepted {
  const id = `input-${(inputs += 1)}`
  const whole = {id, question: null, option: null, text: null, mode: 'queue' as const, signature: null, ...input}
  return engine.run(storeInput, {task_id: 't', input: whole, by, next_id: `next-${whole.id}`})
}

const answer = (engine: MemoryEngine, question: string, option: string, more: Partial<SignedInput> = {}, by = 'ann') =>
  say(engine, {question, option, ...more}, by)

function refusal(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    if (error instanceof HttpError) return `${error.status} ${error.message}`
    throw error
  }

  return 'accepted'
}

const frames = (engine: MemoryEngine) =>
  engine.events.flatMap((event) => (event.type === 'input' ? [`${event.workerId} ${event.input?.id}`] : []))
const changes = (engine: MemoryEngine) =>
  engine.events.flatMap((event) => (event.type === 'question' ? [`${event.question.id} ${event.change}`] : []))
const open_ = (engine: MemoryEngine) => waitingFor(engine.state, engine.task('t')).map(({id}) => id)
const stateOf = (engine: MemoryEngine, id: string) => engine.inputs.get(pair('t', id))

test('a question is open until it is answered, and the answer goes to the holder', () => {
  const engine = running()
  ask(engine, [permission('q')])
  expect(open_(engine)).toEqual(['q'])
  answer(engine, 'q', 'allow', {id: 'a'})
  expect(open_(engine)).toEqual([])
  expect(frames(engine)).toEqual(['w a'])
  expect(stateOf(engine, 'a')).toMatchObject({state: 'stored', created_by: 'ann', option: 'allow'})
  ask(engine, [], [{id: 'a', outcome: 'delivered', reason: null}])
  expect(stateOf(engine, 'a')).toMatchObject({state: 'delivered'})
  expect(engine.state.get('dialogue', 't')).toMatchObject({questions: [], undelivered: [], inputs: 1})
  expect(changes(engine)).toEqual(['q asked', 'q answered'])
})

test('the first answer counts, and the second is told who was faster', () => {
  const engine = running()
  ask(engine, [permission('q')])
  answer(engine, 'q', 'allow', {}, 'bob')
  expect(refusal(() => answer(engine, 'q', 'deny'))).toMatch(/^409 Question q was answered by bob at /)
  ask(engine, [], [])
  expect(refusal(() => answer(engine, 'q', 'deny'))).toMatch(/^409 Question q was answered by bob at /)
})

test('a question whose answer was refused by the worker is open again', () => {
  const engine = running()
  ask(engine, [permission('q')])
  answer(engine, 'q', 'allow', {id: 'a'})
  ask(engine, [permission('q')], [{id: 'a', outcome: 'refused', reason: 'it is not signed'}])
  expect(open_(engine)).toEqual(['q'])
  expect(stateOf(engine, 'a')).toMatchObject({state: 'refused', reason: 'it is not signed'})
  answer(engine, 'q', 'deny', {id: 'b'})
  expect(frames(engine)).toEqual(['w a', 'w b'])
})

test('the same input again is answered with what is stored, and has no second effect', () => {
  const engine = running()
  ask(engine, [permission('q')])
  answer(engine, 'q', 'allow', {id: 'a'})
  expect(answer(engine, 'q', 'allow', {id: 'a'}, 'bob').input).toMatchObject({id: 'a', created_by: 'ann'})
  expect(frames(engine)).toEqual(['w a'])
  expect(refusal(() => answer(engine, 'q', 'deny', {id: 'a'}))).toBe(
    '409 The id a belongs to another input of this task',
  )
})

test('the same report again changes nothing', () => {
  const engine = running()
  ask(engine, [permission('q')])
  const dialogue = engine.state.get('dialogue', 't')
  ask(engine, [permission('q')])
  expect(engine.state.get('dialogue', 't')).toBe(dialogue)
  expect(changes(engine)).toEqual(['q asked'])
})

test('a late answer is told what happened to its question', () => {
  const engine = running()
  ask(engine, [permission('over'), permission('expired', {until: engine.state.now + 10}), permission('open')])
  engine.time += 20
  ask(engine, [permission('open')])
  expect(refusal(() => answer(engine, 'over', 'allow'))).toMatch(/^409 Question over is over since /)
  expect(refusal(() => answer(engine, 'expired', 'allow'))).toMatch(/^409 Question expired has expired/)
  expect(refusal(() => answer(engine, 'none', 'allow'))).toBe('409 Task t has no question none. Open are: open')
  expect(changes(engine)).toContain('over over')
})

test('an answer names an option of its question, or is a text', () => {
  const engine = running()
  ask(engine, [permission('q'), {...permission('free', {options: []}), kind: 'question'}])
  expect(refusal(() => answer(engine, 'q', 'always'))).toBe(
    '400 There is no option always. Options: yes (Once), no (No)',
  )
  expect(refusal(() => answer(engine, 'free', 'allow'))).toMatch(/^400 There is no option allow/)
  expect(refusal(() => answer(engine, 'q', 'yes'))).toBe('accepted')
  expect(refusal(() => say(engine, {question: 'free', text: 'blue'}))).toBe('accepted')
})

test.each([
  ['an empty text', {text: ' \n'}, '400 The text is empty'],
  ['a long text', {text: 'x'.repeat(256 * 1024 + 1)}, '400 The text is longer'],
  ['nothing', {}, '400 A message needs a text'],
  ['an option without a question', {option: 'allow', text: 'a'}, '400 An option answers a question'],
  ['a question without an answer', {question: 'q'}, '400 An answer needs an option or a text'],
  ['two answers', {question: 'q', option: 'yes', text: 'yes'}, '400 An answer needs an option or a text'],
])('%s is refused', (_, input, expected) => {
  const engine = running()
  ask(engine, [permission('q')])
  expect(refusal(() => say(engine, input)).slice(0, expected.length)).toBe(expected)
})

test('at most a hundred inputs wait for their delivery', () => {
  const engine = running()
  for (let n = 0; n < 100; n++) say(engine, {text: 'a', id: `n${n}`})
  expect(refusal(() => say(engine, {text: 'a'}))).toMatch(/^429 100 inputs/)
  ask(engine, [], [{id: 'n0', outcome: 'delivered', reason: null}])
  expect(refusal(() => say(engine, {text: 'a'}))).toBe('accepted')
})

test('a worker without the feature, and a task that does not run, take nothing', () => {
  expect(refusal(() => say(running(assigning), {text: 'a'}))).toMatch(/^409 This worker takes no inputs: w/)
  const engine = running()
  engine.run(cancelTask, {task_id: 't', by: null})
  expect(refusal(() => say(engine, {text: 'a'}))).toBe('409 Task t is being cancelled')
  const pending = new MemoryEngine()
  addWorker(pending, 'w', {codebases: ['c'], isConnected: false})
  addTask(pending, 't', 'c')
  expect(refusal(() => say(pending, {text: 'a'}))).toMatch(/^409 Task t does not run: it is pending/)
})

test('only the holder of the attempt reports questions', () => {
  const engine = running()
  expect(refusal(() => ask(engine, [], [], {worker_id: 'o'}))).toBe('409 Task t is held by worker w (attempt 1)')
  expect(refusal(() => ask(engine, [], [], {attempt: 2}))).toMatch(/^409 Task t is at attempt 1; this is a report/)
})

test('with its attempt, questions and answers are over; messages go to the next attempt', () => {
  const engine = running()
  ask(engine, [permission('q')])
  answer(engine, 'q', 'allow', {id: 'a'})
  say(engine, {text: 'go on', id: 'm'})
  engine.run(reportStatus, {task_id: 't', worker_id: 'w', status: 'pending', attempt: 1})
  expect(engine.task('t')).toMatchObject({status: 'assigned', attempt: 2})
  expect(open_(engine)).toEqual([])
  expect(stateOf(engine, 'a')).toMatchObject({state: 'unknown', reason: 'attempt 1 is over: its agent is gone'})
  expect(frames(engine)).toEqual(['w a', 'w m'])
  engine.run(claimTask, {task_id: 't', worker_id: 'w', attempt: 2})
  expect(frames(engine)).toEqual(['w a', 'w m', 'w m'])
})

test('a worker that connects again gets what it has not reported', () => {
  const engine = running()
  say(engine, {text: 'one', id: '1'})
  say(engine, {text: 'two', id: '2'})
  ask(engine, [], [{id: '1', outcome: 'delivered', reason: null}])
  open(engine, 'w')
  expect(frames(engine)).toEqual(['w 1', 'w 2', 'w 2'])
})

test('what was not reported at the end of a task is unknown, until its worker says more', () => {
  const engine = running()
  say(engine, {text: 'one', id: '1'})
  engine.run(reportStatus, {task_id: 't', worker_id: 'w', status: 'completed', attempt: 1})
  expect(stateOf(engine, '1')).toMatchObject({state: 'unknown'})
  expect(engine.state.get('dialogue', 't')).toBeUndefined()
  ask(engine, [permission('q')], [{id: '1', outcome: 'delivered', reason: null}])
  expect(stateOf(engine, '1')).toMatchObject({state: 'delivered', reason: null})
  ask(engine, [], [{id: '1', outcome: 'refused', reason: 'late'}])
  expect(stateOf(engine, '1')).toMatchObject({state: 'delivered'})
  expect(refusal(() => ask(engine, [], [], {worker_id: 'o'}))).toMatch(/^409 Task t is already completed/)
})

test('a message to an ended task creates the next task of its session, once', () => {
  const engine = running()
  const session = {session_id: 'ses_1', result: 'done'}
  engine.run(reportStatus, {task_id: 't', worker_id: 'w', status: 'completed', attempt: 1, ...session})
  expect(refusal(() => answer(engine, 'q', 'allow'))).toMatch(/^409 Task t is already completed: it asks nothing/)
  const {task, input} = say(engine, {text: 'And the docs?\nAll of them.', id: 'm'})
  expect(task).toMatchObject({
    ...{
      id: 'next-m',
      codebase_id: 'c',
      title: 'And the docs?',
      prompt: 'And the docs?\nAll of them.',
      created_by: 'ann',
    },
    metadata: {model: 'm', agent_program: 'opencode', max_cost: 2, resume_session_id: 'ses_1'},
  })
  expect(input).toMatchObject({state: 'delivered', next_task: 'next-m'})
  expect(say(engine, {text: 'And the docs?\nAll of them.', id: 'm'}).task?.id).toBe('next-m')
  expect(engine.tasks.size).toBe(2)
})

test('a message to an ended task without a session is refused', () => {
  const engine = running()
  engine.run(reportStatus, {task_id: 't', worker_id: 'w', status: 'failed', error: 'e', attempt: 1})
  expect(refusal(() => say(engine, {text: 'a'}))).toMatch(/^409 Task t is already failed, and has no session/)
})

test('the audit says who said something, without the text', () => {
  const engine = running()
  ask(engine, [permission('q')])
  answer(engine, 'q', 'deny', {id: 'a'})
  say(engine, {text: 'secret', id: 'm'}, 'bob')
  const entries = engine.audit.filter(({what}) => what === 'task.answered' || what === 'task.told')
  expect(entries).toMatchObject([
    {what: 'task.answered', who: 'ann', task_id: 't', detail: 'input a: question q, option deny'},
    {what: 'task.told', who: 'bob', task_id: 't', detail: 'input m: a text of 6 characters'},
  ])
})
