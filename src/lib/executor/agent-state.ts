import type {AgentReport} from '../opencode/output/agent-report.ts'
import type {AgentState} from '../protocol/agent-state.ts'

export type StateSigns = {
  report: AgentReport
  /** When the agent's process started. All times in Unix ms. */
  startedAt: number
  /** There was an event. */
  hasPrinted: boolean
  stepStartedAt: number | undefined
  stepEndedAt: number | undefined
  /** The commands of the processes that work for an open tool call. */
  processes: readonly {command: string; since: number}[]
}

/** What the agent does now. Where our plugin is not loaded, a tool call is seen only by its processes. */
export function agentState(signs: StateSigns): AgentState {
  const {report, startedAt, hasPrinted, stepStartedAt = 0, stepEndedAt = 0, processes} = signs
  const tool = report.newestTool
  if (tool) return {state: 'tool', what: [tool.tool, tool.title].filter(Boolean).join(' '), since: tool.since}
  const [process] = processes
  if (!report.isPresent && hasPrinted && process) return {state: 'tool', what: process.command, since: process.since}
  if (stepStartedAt > stepEndedAt) return {state: 'answering', what: '', since: stepStartedAt}
  const askedAt = Math.max(stepEndedAt, report.busySince ?? 0)
  if (hasPrinted || report.busySince !== undefined) return {state: 'waiting', what: '', since: askedAt || startedAt}
  return {state: 'starting', what: '', since: startedAt}
}
