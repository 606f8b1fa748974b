import {randomUUID} from 'node:crypto'
import type {Context, Hono} from 'hono'
import * as v from 'valibot'
import {defaultProgram} from '../../protocol/agent-program.ts'
import {createTaskSchema} from '../../protocol/schemas.ts'
import {taskInputSchema} from '../../protocol/task-input.ts'
import type {AppEnv} from '../http/app-env.ts'
import {readForm} from '../http/body.ts'
import {HttpError} from '../http/http-error.ts'
import {pagePaths, pathOf} from '../http/page-rights.ts'
import {tokenNameOf} from '../http/peer.ts'
import type {Plane} from '../plane/plane.ts'
import {storeInput} from '../rules/tasks/inputs.ts'
import {cancelTask, retryTask} from '../rules/tasks/reports.ts'
import {requestTask} from '../tasks/task-requests.ts'
import {newTaskForm, newTaskSchema, type NewTaskFields} from './data/new-task.ts'
import {loadViews, problemText, redirect, respond} from './respond.ts'
import {checkUnsigned, needsSignature, signedAnswer, signedTask, signedWords} from './data/signed-only.ts'
import {taskDetails} from './data/task-details.ts'
import {viewerOf} from './data/viewer.ts'

const maybe = v.optional(v.pipe(v.string(), v.trim()), '')

/** Both forms of a task that runs: an answer to a question, and a message. */
const inputSchema = v.object({
  ...{question: maybe, option: maybe, key: maybe},
  text: v.optional(v.string(), ''),
  mode: taskInputSchema.entries.mode,
})

/** Routes of the buttons and forms of tasks. Each decides by the rule that the API has for it. */
export function taskActions(app: Hono<AppEnv>, {plane}: {plane: Plane}): void {
  app.post(pagePaths.newTask, async (c) => {
    const fields = await readForm(c, newTaskSchema)
    try {
      const {id} = await createFrom(c, plane, fields)
      return redirect(c, pathOf('task', {task: id}))
    } catch (error) {
      if (!(error instanceof HttpError)) throw error
      const {newTaskPage} = await loadViews()
      const viewer = viewerOf(c)
      return respond(c, newTaskPage(viewer, newTaskForm(plane, viewer, fields), problemText(error)), error.status)
    }
  })

  app.post(pagePaths.cancel, async (c) => {
    const task = c.req.param('task')
    await plane.run(cancelTask, {task_id: task, by: tokenNameOf(c)})
    return redirect(c, pathOf('task', {task}))
  })

  app.post(pagePaths.retry, async (c) => {
    const task = c.req.param('task')
    await plane.run(retryTask, {task_id: task, force: false, by: tokenNameOf(c)})
    return redirect(c, pathOf('task', {task}))
  })

  app.post(pagePaths.inputs, async (c) => {
    const {key, question, option, text, mode} = await readForm(c, inputSchema)
    const {id, needsSignature} = taskDetails(plane, c.req.param('task'), viewerOf(c))
    checkUnsigned(needsSignature && option === '', question ? signedAnswer(id) : signedWords(id))
    const {task: next} = await plane.run(storeInput, {
      task_id: c.req.param('task'),
      input: {
        ...{id: key || randomUUID(), question: question || null, option: option || null},
        ...{text: option ? null : text, mode, signature: null},
      },
      by: tokenNameOf(c),
      next_id: randomUUID(),
    })
    return redirect(c, pathOf('task', {task: next?.id ?? c.req.param('task')}))
  })
}

/** The key of the form makes a second click no second task. */
async function createFrom(c: Context<AppEnv>, plane: Plane, {codebase, key, program, ...fields}: NewTaskFields) {
  const {prompt} = fields
  checkUnsigned(needsSignature(plane.state, codebase), signedTask(codebase))
  if (prompt.trim() === '') throw new HttpError(422, 'The prompt is empty')
  const body = v.safeParse(createTaskSchema, {
    ...{prompt, title: fields.title || titleOf(prompt), model: fields.model || null},
    ...(fields.agent_type ? {agent_type: fields.agent_type} : {}),
    metadata: program && program !== defaultProgram ? {agent_program: program} : {},
  })
  if (!body.success) throw new HttpError(422, body.issues.map(({message}) => message).join('; '))
  return requestTask(c, plane, {...body.output, codebase_id: codebase}, key || undefined)
}

/** The first line of a prompt, shortened. */
function titleOf(prompt: string): string {
  const [line = ''] = prompt.trim().split('\n')
  return line.length > 80 ? `${line.slice(0, 79)}…` : line
}
