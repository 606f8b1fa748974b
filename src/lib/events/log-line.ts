import {isoTime} from '../core/clock.ts'
import {counted} from '../core/text/counted.ts'
import {formatBytes} from '../core/text/format-bytes.ts'
import {assertNever} from '../core/errors.ts'
import {agentStateText} from '../protocol/agent-state.ts'
import {questionsText} from '../protocol/task-input.ts'
import type {WorkerEvent} from './worker-event.ts'

export const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]

export type LogLine = {level: LogLevel; text: string; taskId?: string}

/**
 * The log line of an event. Phrases that users search for are at the start of their messages: `Worker registered
 * successfully`, `Registered codebase`, and a line with `poll`.
 */
export function logLine(event: WorkerEvent): LogLine {
  switch (event.type) {
    case 'phase.changed':
      return {level: event.to === 'failed' ? 'error' : 'info', text: `Worker is ${event.to}`}
    case 'startup.changed':
      return {level: 'debug', text: `Starting: ${event.step}`}
    case 'link.changed':
      return connectionLine(event)
    case 'broker.changed':
      return event.isUp
        ? {level: 'info', text: 'Broker connected: its announcements trigger polls'}
        : {level: 'warn', text: `Broker out of reach (${event.reason}): tasks come by stream or polling`}
    case 'worker.registered':
      return {
        level: event.first ? 'info' : 'debug',
        text: `Worker registered successfully as '${event.name}' (ID: ${event.workerId}) with ${event.server}`,
      }
    case 'codebase.registered':
      return {level: 'info', text: `Registered codebase '${event.name}' (ID: ${event.codebaseId}) at ${event.path}`}
    case 'codebase.refused':
      return {level: 'warn', text: `Codebase '${event.name}' at ${event.path} is not served: ${event.reason}`}
    case 'codebase.removed':
      return {level: 'info', text: `Codebase '${event.name}' at ${event.path} is no longer served`}
    case 'settings.reloaded':
      return {level: 'info', text: `Settings reloaded: ${event.changed.join(', ') || 'no changes'}`}
    case 'notice':
      return {level: event.level, text: event.text, ...(event.taskId === undefined ? {} : {taskId: event.taskId})}
    case 'pause.changed':
      return {
        level: 'info',
        text: event.isPaused ? 'Paused: the worker takes no tasks' : 'Resumed: the worker takes tasks again',
      }
    case 'disk.changed':
      return diskLine(event)
    case 'trouble.changed':
      return troubleLine(event)
    case 'queue.changed':
      return {level: 'debug', text: `Tasks waiting on the control plane: ${event.tasks.length + event.more}`}
    case 'stop.requested':
      return {level: 'info', text: `${event.by}: ${event.hint}`}
    default:
      return taskLine(event)
  }
}

function connectionLine({link, reason}: Extract<WorkerEvent, {type: 'link.changed'}>): LogLine {
  if (link === 'stream') return {level: 'info', text: 'Task stream connected'}
  if (link === 'broker')
    return {level: 'warn', text: `Task stream lost, polling on announcements of the broker: ${reason}`}
  if (link === 'poll') return {level: 'warn', text: `Falling back to polling: ${reason}`}
  return {level: 'warn', text: `Server out of reach, neither stream nor polling works: ${reason}`}
}

type DiskEvent = Extract<WorkerEvent, {type: 'disk.changed'}>

function diskLine({isLow, path, free, freeInodes, minimum, wanted}: DiskEvent): LogLine {
  if (isLow && freeInodes !== null)
    return {
      level: 'warn',
      text: `Only ${counted(freeInodes, 'more file')} can be created on the file system of ${path}: it runs out of inodes. The worker takes no tasks until there are more. Remove some files there, or lower keep_runs_days.`,
    }
  if (!isLow) return {level: 'info', text: `${formatBytes(free)} are free for ${path}. The worker takes tasks again.`}
  const setting = `min_free_disk is ${formatBytes(minimum)}`
  const text = `Only ${formatBytes(free)} are free for ${path} (${setting}). The worker takes no tasks until ${formatBytes(wanted)} are free`
  return {level: 'warn', text: `${text}. Free some space there, or lower keep_runs_mb or min_free_disk.`}
}

function troubleLine({kind, name, reason}: Extract<WorkerEvent, {type: 'trouble.changed'}>): LogLine {
  const tasks = kind === 'provider' ? `tasks of provider ${name}` : 'tasks'
  if (reason === null) return {level: 'info', text: `The worker takes ${tasks} again`}
  return {level: 'error', text: `The worker takes no ${tasks}: ${reason}`}
}

type ProviderWaitEvent = Pick<Extract<WorkerEvent, {type: 'task.provider'}>, 'provider' | 'message' | 'until'>

/** Why a task waits for its provider, for people. */
export function providerWaitText({provider, message, until}: ProviderWaitEvent): string {
  const name = `the provider${provider === null ? '' : ` ${provider}`}`
  if (until === null) return `${name} has refused a request: ${message}`
  return `${name} is asked again at ${isoTime(until).replace(/\.\d+Z$/, 'Z')}: ${message}`
}

const inputText = {
  delivered: 'delivered to the agent',
  refused: 'not passed on',
  unknown: 'may or may not have reached the agent',
} as const

type TaskEvent = Extract<WorkerEvent, {type: `task.${string}`}>

function taskLine(event: TaskEvent): LogLine {
  const {taskId} = event
  switch (event.type) {
    case 'task.received':
      return {level: 'info', taskId, text: `Received task (${event.source}): ${event.title}`}
    case 'task.claimed':
      return {level: 'debug', taskId, text: `Task claimed, attempt ${event.attempt}`}
    case 'task.waiting':
      return {level: 'info', taskId, text: `Task waits: ${event.reason}`}
    case 'task.dropped':
      return {level: 'info', taskId, text: `Task not taken: ${event.reason}`}
    case 'task.started': {
      const process = event.pid === null ? '' : `, pid ${event.pid}`
      return {
        level: 'info',
        taskId,
        text: `Executing task (agent ${event.agent}${process}) in ${event.path}: ${event.title}`,
      }
    }

    case 'task.session':
      return {level: 'info', taskId, text: `Session ${event.sessionId}`}
    case 'task.activity':
      return {level: 'info', taskId, text: event.line}
    case 'task.provider':
      return event.message === null
        ? {level: 'info', taskId, text: 'Task goes on: the provider is asked again'}
        : {level: 'warn', taskId, text: `Task waits: ${providerWaitText(event)}`}
    case 'task.state':
      return {level: 'debug', taskId, text: `Agent: ${agentStateText(event)}`}
    case 'task.questions': {
      const asked = questionsText(event.questions)
      return {level: 'info', taskId, text: asked === undefined ? 'Task asks nothing any more' : `Task ${asked}`}
    }
    case 'task.input': {
      const reason = event.reason === null ? '' : `: ${event.reason}`
      const level = event.outcome === 'delivered' ? 'info' : 'warn'
      return {level, taskId, text: `Input ${event.inputId} ${inputText[event.outcome]}${reason}`}
    }
    case 'task.stopping':
      return {level: 'info', taskId, text: `Stopping task: ${event.reason}`}
    case 'task.finished': {
      const cost = event.cost > 0 ? `, $${event.cost.toFixed(4)}` : ''
      const text = `Task ${event.status} after ${(event.ms / 1000).toFixed(1)} s${cost}${event.error ? `: ${event.error}` : ''}`
      return {level: event.status === 'failed' ? 'error' : 'info', taskId, text}
    }

    case 'task.reported':
      return {level: 'debug', taskId, text: `Report acknowledged: ${event.status}`}
    case 'task.refused':
      return {
        level: 'error',
        taskId,
        text: `The control plane refused the report for good: ${event.reason}${event.kept === null ? '' : ` It is saved in ${event.kept}`}`,
      }
    default:
      return assertNever(event)
  }
}
