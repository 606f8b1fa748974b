import {existsSync} from 'node:fs'
import {join} from 'node:path'
import {AcpFold} from '../../acp/fold.ts'
import {readMessage} from '../../acp/message.ts'
import {runFiles} from '../spool/file-names.ts'
import {readLines} from '../spool/read-lines.ts'
import {foldCommand} from './command-drive.ts'
import {EventFile} from './event-file.ts'
import {SentLog} from './sent-log.ts'

const over = AbortSignal.abort()

/**
 * Writes the events that an agent has printed after its worker was killed. Does nothing for agents that print events
 * themselves. The agent must have ended.
 */
export async function completeEvents(runDir: string, now: () => number = Date.now): Promise<void> {
  const log = SentLog.read(runDir)
  if (!log) return
  const {start} = log
  const path = join(start.agentDir, runFiles.messages)
  if (!existsSync(path)) return
  if (start.kind === 'command') return await foldCommand(runDir, log, over, now)
  const fold = new AcpFold(start)
  using events = new EventFile(join(runDir, runFiles.stdout), start.eventsBefore, now)
  const onLine = (line: string | undefined) => {
    for (const event of fold.add(readMessage(line))) events.add(event)
  }
  await readLines({path, from: start.messagesFrom, ended: over, onLine})
  for (const event of fold.end()) events.add(event)
}

/** The name of the program that a run was started with, for people. */
export const programNameOf = (runDir: string): string => SentLog.read(runDir)?.start.name ?? 'OpenCode'

/** The name of the agent that a run was started with, in tasks. Undefined: the default. */
export const programOf = (runDir: string): string | undefined => SentLog.read(runDir)?.start.program

/** The folder of the process of a run's agent. It is that of the run, unless the process runs several tasks. */
export const agentDirOf = (runDir: string): string => SentLog.read(runDir)?.start.agentDir ?? runDir
