import {existsSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import type {AgentEvent} from '../../acp/fold.ts'
import {lastLines} from '../../opencode/output/tail.ts'
import {runFiles} from '../spool/file-names.ts'
import {readLines} from '../spool/read-lines.ts'
import {readTail} from '../spool/read-tail.ts'
import type {Drive} from './drive-agent.ts'
import {EventFile} from './event-file.ts'
import type {SentLog} from './sent-log.ts'

const messageID = 'msg_command'

/** A line of a command as an event. */
const textEvent = (line: string, n: number): AgentEvent => ({
  type: 'text',
  sessionID: '',
  part: {id: `prt_${n}`, messageID, type: 'text', text: line},
})

/** Copies the output of a command to the events of its run. Resolves when `ended` is aborted and all is copied. */
export async function foldCommand(runDir: string, log: SentLog, ended: AbortSignal, now: () => number): Promise<void> {
  const {start} = log
  using events = new EventFile(join(runDir, runFiles.stdout), start.eventsBefore, now)
  let count = 0
  const onLine = (line: string | undefined) => {
    if (line === undefined || line.trim() === '') return
    if (count === 0) events.add({type: 'step_start', sessionID: '', part: {type: 'step-start'}})
    count += 1
    events.add(textEvent(line, count))
  }
  await readLines({path: join(runDir, runFiles.messages), from: start.messagesFrom, ended, onLine})
  events.add(ending(runDir, start.name))
}

/** A command without a model is judged by its exit code: the one exception to outcomes from events. */
function ending(runDir: string, name: string): AgentEvent {
  const code = exitCodeOf(runDir)
  if (code === 0) return {type: 'step_finish', sessionID: '', part: {type: 'step-finish', reason: 'stop'}}
  const said = lastLines(readTail(join(runDir, runFiles.stderr), 0))
  const text = code === undefined ? `${name} was ended before it exited` : `${name} exited with code ${code}`
  const message = [text, said].filter(Boolean).join(': ')
  return {type: 'error', sessionID: '', error: {name: 'CommandFailed', data: {message}}}
}

function exitCodeOf(runDir: string): number | undefined {
  const path = join(runDir, runFiles.exit)
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  return /^\d+\n$/.test(text) ? Number(text) : undefined
}

/** A command has no conversation: its prompt is there from the start, and nobody can say anything to it. */
export function driveCommand(runDir: string, log: SentLog, now: () => number): Drive {
  const ended = new AbortController()
  const folding = foldCommand(runDir, log, ended.signal, now)
  folding.catch(() => {}) // `finish` tells why
  return {
    over: new Promise(() => {}),
    messagesFrom: log.start.messagesFrom,
    announced: undefined,
    sessionId: undefined,
    spent: undefined,
    hasSucceeded: false,
    isAsking: false,
    takesInputs: false,
    describe: () => '',
    give: () => {},
    cancel: async () => {},
    async finish() {
      ended.abort('the command has ended')
      await folding
    },
  }
}
