import type {MonitorMessage} from '../../protocol/monitor-schemas.ts'
import {questionText} from '../../protocol/task-input.ts'
import type {TaskFacts} from '../state/facts.ts'
import type {StateEvent} from '../state/events.ts'

/** What the monitoring log records. */
export type Activity = StateEvent & {type: 'task' | 'output' | 'question' | 'worker' | 'intervention'}

export const isActivity = (event: StateEvent): event is Activity =>
  ['task', 'output', 'worker', 'intervention'].includes(event.type)

type Described = Omit<MonitorMessage, 'id' | 'timestamp'> & {agentId?: string | undefined}

/** Longer texts are shortened in the log. */
const maxText = 2048
const controlPlane = 'Control Plane'
const nothingMore = {response_time: null, tokens: null, error: null}

/** Turns an activity into a log message. */
export function describeActivity(activity: Activity): Described {
  switch (activity.type) {
    case 'task':
      return describeTask(activity)
    case 'output':
      return {
        ...nothingMore,
        type: 'agent',
        agent_name: 'Agent Output',
        content: excerpt(activity.output),
        metadata: {...factsOf(activity.task), streaming: true},
        agentId: activity.task.worker_id ?? undefined,
      }
    case 'question': {
      const {task, change, question} = activity
      return {
        ...nothingMore,
        type: 'system',
        agent_name: controlPlane,
        content: `Task '${excerpt(task.title)}' ${excerpt(questionChange(activity))}`,
        metadata: {...factsOf(task), question: question.id, change},
        agentId: task.worker_id ?? undefined,
      }
    }
    case 'worker':
      return {
        ...nothingMore,
        type: 'system',
        agent_name: activity.name,
        content: `Worker '${activity.name}' ${activity.change}${activity.hostname ? ` from ${activity.hostname}` : ''}`,
        metadata: {worker_id: activity.workerId},
        agentId: activity.workerId,
      }
    case 'intervention':
      return {
        ...nothingMore,
        type: 'human',
        agent_name: activity.agentId,
        content: excerpt(activity.text),
        metadata: {agent_id: activity.agentId, delivered: false},
      }
  }
}

/** What happened to a question, for people. */
export function questionChange({change, question, by}: StateEvent & {type: 'question'}): string {
  if (change === 'asked') return questionText(question)
  const about = `${question.kind === 'permission' ? 'its permission' : 'its question'}: ${question.title}`
  return change === 'answered'
    ? `was answered${by === null ? '' : ` by ${by}`} about ${about}`
    : `no longer waits for ${about}`
}

function describeTask({task, change, error, usage, ms}: Activity & {type: 'task'}): Described {
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

/** Returns a copy: in V8 a slice would keep the whole string in memory. */
function excerpt(text: string): string {
  if (text.length <= maxText) return text
  return `${Buffer.from(text.slice(0, maxText)).toString()}… (${text.length - maxText} more characters)`
}

const toolCall = '"type":"tool_use"'

/** Counts the tool calls in lines of agent output. */
export function toolCallsIn(output: string): number {
  let count = 0
  for (let at = output.indexOf(toolCall); at >= 0; at = output.indexOf(toolCall, at + toolCall.length)) count += 1
  return count
}
