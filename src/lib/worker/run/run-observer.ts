import {failureReason} from '../../core/disk-full.ts'
import type {Emit} from '../../events/bus.ts'
import {providerWaitText} from '../../events/log-line.ts'
import {programOf} from '../../executor/acp/complete-events.ts'
import type {RunObserver} from '../../executor/executor.ts'
import type {ProcessIdentity} from '../../executor/processes/processes.ts'
import type {Journal} from '../../journal/journal.ts'
import type {Lock} from '../locks/lock-file.ts'
import {agentLabel} from '../../protocol/agent-program.ts'
import type {OpenQuestion} from '../../protocol/task-input.ts'
import type {Conversation} from '../inputs/conversation.ts'
import type {ActiveTask} from './active-task.ts'
import type {ReportSession} from './session-report.ts'
import type {Run} from './run-setup.ts'

type Observed = {
  treeLock: Lock | undefined
  agentState: {hasExited: boolean}
  /** Aborted when the run has ended. */
  ended: AbortSignal
  startUpload: (from: number) => unknown
  conversation: Pick<Conversation, 'setQuestions' | 'addResult'>
}

export type RunObserverOptions = {
  journal: Journal
  emit: Emit
  reportSession: ReportSession
  /** Tells the control plane which active tasks wait for their provider. */
  reportWaits: () => void
  /** Tells the control plane what agents do, if they still do it a moment later. */
  reportStates: () => void
  redact: (text: string) => string
}

/** Returns the observer of a run: it writes what the agent does to the journal and emits it as events. */
export function createRunObserver(
  run: Run,
  active: ActiveTask,
  {treeLock, agentState, ended, startUpload, conversation}: Observed,
  {journal, emit, reportSession, reportWaits, reportStates, redact}: RunObserverOptions,
): RunObserver {
  const {task_id: taskId, title, agent, attempt} = run
  let session: string | undefined
  const warn = (text: string) => emit({type: 'notice', level: 'warn', taskId, text})
  return {
    onSpawned: ({pid, startTime}) => {
      journal.spawned(run, pid, startTime)
      transferLock(treeLock, {pid, startTime}, warn)
      const label = agentLabel(programOf(run.run_dir), agent)
      emit({type: 'task.started', taskId, attempt, title, path: active.codebase, agent: label, pid})
      agentState.hasExited = false
      void startUpload(0)
    },
    onExited: () => (agentState.hasExited = true),
    onSession: (id) => {
      if (id === session) return
      session = id
      active.sessionId = id
      journal.session(run, id)
      emit({type: 'task.session', taskId, sessionId: id})
      // The final report names the session too, so a failure here costs nothing.
      active.sessionReported = reportSession(run, active, id, ended).catch(() => {})
    },
    onActivity: (line, text) => emit({type: 'task.activity', taskId, line, ...(text === undefined ? {} : {text})}),
    redact,
    onWarning: (text) => warn(redact(text)),
    onProviderWait: (wait) => {
      const {id: provider = null, until = null} = wait ?? {}
      const event = {provider, message: wait ? redact(wait.message) : null, until}
      active.waiting = wait && providerWaitText(event)
      emit({type: 'task.provider', taskId, ...event})
      reportWaits()
    },
    onState: (state) => {
      active.state = {...state, what: redact(state.what)}
      emit({type: 'task.state', taskId, ...active.state})
      reportStates()
    },
    onQuestions: (questions) => conversation.setQuestions(questions.map((question) => redacted(question, redact))),
    onInput: (result) => conversation.addResult(result),
  }
}

/** A question may quote a command or a file. */
const redacted = (question: OpenQuestion, redact: (text: string) => string): OpenQuestion => ({
  ...question,
  title: redact(question.title),
  options: question.options.map((option) => ({...option, name: redact(option.name)})),
})

/** If the lock file cannot be written, this process stays the holder. That is as good while this process lives. */
function transferLock(treeLock: Lock | undefined, agent: ProcessIdentity, warn: (text: string) => void): void {
  try {
    treeLock?.transferTo(agent)
  } catch (error) {
    warn(`the lock of the working tree does not name the agent: ${failureReason(error)}`)
  }
}
