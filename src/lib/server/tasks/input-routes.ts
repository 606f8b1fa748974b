import {randomUUID} from 'node:crypto'
import type {Context, Hono} from 'hono'
import * as v from 'valibot'
import {routes} from '../../protocol/routes.ts'
import {inputOutcomes, newInputSchema, questionsSchema, type StoredInput} from '../../protocol/task-input.ts'
import type {AppEnv} from '../http/app-env.ts'
import {mayActAs} from '../http/auth.ts'
import {readBody} from '../http/body.ts'
import {conflict, HttpError} from '../http/http-error.ts'
import {fillPage, nextCursorHeader, readCursor, readLimit, toCursor} from '../http/paging.ts'
import {tokenNameOf} from '../http/peer.ts'
import type {Plane} from '../plane/plane.ts'
import {requireTask} from '../rules/dispatch/required.ts'
import {bindingsIn} from '../rules/registry/binding.ts'
import {storeInput} from '../rules/tasks/inputs.ts'
import {checkSender} from '../rules/tasks/output.ts'
import {takeQuestions} from '../rules/tasks/questions.ts'
import {wireTask} from '../streams/task-view.ts'

const defaultLimit = 100
const states: readonly string[] = ['stored', ...inputOutcomes]
const place = v.tuple([v.number()])

/** Routes of questions and inputs: agents ask through their workers, and people answer or say something. */
export function inputRoutes(app: Hono<AppEnv>, {plane}: {plane: Plane}): void {
  app.put(routes.taskQuestions, async (c) => {
    const report = await readBody(c, questionsSchema)
    mayActAs(c.get('identity'), report.worker_id, bindingsIn(plane.state))
    await plane.run(takeQuestions, {...report, task_id: c.req.param('task')})
    return c.json({success: true})
  })

  app.post(routes.taskInputs, async (c) => {
    const {id, ...body} = await readBody(c, newInputSchema)
    const {input, task} = await plane.run(storeInput, {
      task_id: c.req.param('task'),
      input: {...body, id: id ?? randomUUID()},
      by: tokenNameOf(c),
      next_id: randomUUID(),
    })
    const answer = {success: true, input: wireInput(input)}
    return task ? c.json({...answer, task: wireTask(task)}, 201) : c.json(answer, 202)
  })

  app.get(routes.taskInputs, (c) => {
    const task = requireTask(plane.state, c.req.param('task'))
    checkReader(c, plane)
    const {state, limit, cursor} = c.req.query()
    if (state !== undefined && !states.includes(state)) throw new HttpError(400, `state must be ${states.join(', ')}`)
    const found = plane.views.inputs.list(task.id, {state, after: readCursor(cursor, place)?.[0]})
    const {shown, last, hasMore} = fillPage(found, readLimit(limit, defaultLimit), wireInput)
    if (last && hasMore) c.header(nextCursorHeader, toCursor([last.n]))
    return c.json({inputs: shown})
  })
}

/** Throws 409 if a worker asks that does not hold this attempt. Its token reads what was said to its own runs only. */
function checkReader(c: Context<AppEnv>, {state}: Plane): void {
  const task = requireTask(state, c.req.param('task') ?? '')
  const {worker_id: asked, attempt} = c.req.query()
  const workerId = c.get('only') ?? asked
  if (workerId === undefined) return
  if (asked !== undefined && asked !== workerId) throw conflict(`Task ${task.id} is not held by worker ${asked}`)
  checkSender(task, {worker_id: workerId, attempt: Number(attempt) || null}, {taken: 'inputs', sent: 'a request'})
}

function wireInput({...input}: StoredInput): StoredInput {
  const {id, question, option, text, mode, signature, created_by, created_at, state, reason, settled_at} = input
  return {
    ...{id, question, option, text, mode, signature, created_by, created_at, state, reason, settled_at},
    next_task: input.next_task,
  }
}
