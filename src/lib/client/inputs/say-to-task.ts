import {randomUUID} from 'node:crypto'
import {isFinal} from '../../protocol/schemas.ts'
import {metadataOfNext, type TaskInput} from '../../protocol/task-input.ts'
import type {TaskSigner} from '../../signing/task-signer.ts'
import {createTask} from '../create-task.ts'
import {findCodebase} from '../find-codebase.ts'
import {titleOf} from '../prompt.ts'
import {sendInput, type SendOptions, type SentInput} from './send-input.ts'

export type SayOptions = SendOptions & {
  /** Signs the next task, if the task has ended. Undefined: the control plane creates it, unsigned. */
  signTask: TaskSigner | undefined
}

/**
 * Says something to a running task. For a task that has ended it becomes the next task of its session. A control plane
 * cannot sign, so with a key this client creates that task.
 */
export async function sayToTask(
  taskId: string,
  {text, mode}: Pick<TaskInput, 'mode'> & {text: string},
  {signTask, ...options}: SayOptions,
): Promise<Partial<SentInput>> {
  const {client, signal} = options
  const task = signTask && (await client.task(taskId, signal))
  if (signTask && task && isFinal(task.status) && task.session_id !== null) {
    const codebase = findCodebase(await client.codebases(signal), task.codebase_id, undefined)
    const {agent_type, model, priority} = task
    const before = model === null ? task.metadata : {model, ...task.metadata}
    const metadata = metadataOfNext(before, task.session_id)
    const next = {title: titleOf(text), prompt: text, agent_type, priority, metadata}
    const signed = {...next, metadata: await signTask({...next, model: null}, codebase)}
    return await createTask(client, codebase.id, signed, signal)
  }

  return await sendInput(taskId, {id: randomUUID(), question: null, option: null, text, mode}, options)
}
