import type {AgentEvent} from '../../acp/fold.ts'
import {fieldsOf} from '../../acp/message.ts'
import {ReportedUsage, type StepUsage} from '../../opencode/output/reported-usage.ts'
import {growingFile} from '../spool/growing-file.ts'

/**
 * Adds to the events of OpenCode what it does not say over the protocol, but its plugin reports: the tokens of all steps
 * of a turn, and the status of an error. Other agents have no such report.
 */
export function createEnrichment(reportPath: string) {
  const reported = new ReportedUsage()
  const file = growingFile(reportPath, (line) => reported.add(line))
  return {
    enrich(event: AgentEvent): AgentEvent {
      if (event.type !== 'step_finish' && event.type !== 'error') return event
      file.read()
      if (event.type === 'step_finish') {
        const usage = reported.take(event.sessionID)
        return usage ? {...event, part: {...fieldsOf(event['part']), tokens: usage.tokens}} : event
      }
      const statusCode = reported.statusOf(event.sessionID)
      const error = fieldsOf(event['error'])
      if (statusCode === undefined) return event
      return {...event, error: {...error, data: {...fieldsOf(error['data']), statusCode}}}
    },
    /** What the steps of the turn that goes on have used, as far as it is known. */
    spentSince(session: string): StepUsage | undefined {
      file.read()
      return reported.peek(session)
    },
  }
}
