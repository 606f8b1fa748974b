import type {MonitorMessage} from '../../protocol/monitor-schemas.ts'
import type {Usage} from '../../protocol/schemas.ts'
import type {StoredTask} from '../store/store.ts'

type TaskFacts = Pick<StoredTask, 'id' | 'title' | 'codebase_id' | 'worker_id' | 'attempt'>

/** What can happen to a task, in one word. */
export type TaskChange =
  'created' | 'running' | 'completed' | 'failed' | 'cancelled' | 'pending' | 'cancelling' | 'lost'

/** What is worth telling those who watch the control plane. */
export type Happening =
  | {
      type: 'task'
      task: TaskFacts
      change: TaskChange
      error?: string | null | undefined
      usage?: Usage | null | undefined
      /** From its first start to its end. */
      ms?: number | undefined
    }
  | {type: 'output'; task: TaskFacts; output: string}
  | {type: 'worker'; change: 'connected' | 'disconnected'; workerId: string; name: string; hostname: string | null}
  | {type: 'intervention'; agentId: string; text: string}

type Described = Omit<MonitorMessage, 'id' | 'timestamp'> & {agentId?: string | undefined}

/** What the log keeps of a text. */
const maxText = 2048
const controlPlane = 'Control Plane'
const nothingMore = {response_time: null, tokens: null, error: null}

/** A happening in words. */
export function describe(happening: Happening): Described {
  switch (happening.type) {
    case 'task':
      return describeTask(happening)
    case 'output':
      return {
        ...nothingMore,
        type: 'agent',
        agent_name: 'Agent Output',
        content: excerpt(happening.output),
        metadata: {...factsOf(happening.task), streaming: true},
        agentId: happening.task.worker_id ?? undefined,
      }
    case 'worker':
      return {
        ...nothingMore,
        type: 'system',
        agent_name: happening.name,
        content: `Worker '${happening.name}' ${happening.change}${happening.hostname ? ` from ${happening.hostname}` : ''}`,
        metadata: {worker_id: happening.workerId},
        agentId: happening.workerId,
      }
    case 'intervention':
      return {
        ...nothingMore,
        type: 'human',
        agent_name: happening.agentId,
        content: excerpt(happening.text),
        metadata: {agent_id: happening.agentId, delivered: false},
      }
  }
}

function describeTask({task, change, error, usage, ms}: Happening & {type: 'task'}): Described {
  const hasFailed = change === 'failed'
  return {
    type: hasFailed ? 'error' : 'system',
    agent_name: controlPlane,
    content: `Task '${excerpt(task.title)}' status: ${change}`,
    metadata: {...factsOf(task), status: change},
    response_time: ms ?? null,
    tokens: usage ? usage.input + usage.output + usage.reasoning : null,
    error: hasFailed ? excerpt(error || 'no reason given') : null,
    agentId: task.worker_id ?? undefined,
  }
}

const factsOf = ({id, codebase_id, worker_id, attempt}: TaskFacts) => ({task_id: id, codebase_id, worker_id, attempt})

/** A copy: a piece of a string keeps the whole of it in memory. */
function excerpt(text: string): string {
  if (text.length <= maxText) return text
  return `${Buffer.from(text.slice(0, maxText)).toString()}… (${text.length - maxText} more characters)`
}

const toolCall = '"type":"tool_use"'

/** How many tool calls these lines of the agent's output tell of. */
export function toolCallsIn(output: string): number {
  let count = 0
  for (let at = output.indexOf(toolCall); at >= 0; at = output.indexOf(toolCall, at + toolCall.length)) count += 1
  return count
}
