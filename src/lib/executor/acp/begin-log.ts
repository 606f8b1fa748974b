import {statSync} from 'node:fs'
import {join} from 'node:path'
import {runFiles} from '../spool/file-names.ts'
import {countEvents} from './event-file.ts'
import {type AgentStart, SentLog} from './sent-log.ts'

type Position = 'messagesFrom' | 'stderrFrom' | 'eventsBefore' | 'process' | 'startedAt'

/** A start without what is known by looking at the files. */
export type NewStart = Omit<AgentStart, Position>

/** Begins the log of a run with a process that is about to start, or gets its next task. `now` in Unix ms. */
export function beginLog(runDir: string, start: NewStart, now: number): SentLog {
  const before = SentLog.read(runDir)?.start.process ?? 0
  return SentLog.begin(runDir, {
    ...start,
    messagesFrom: sizeOf(join(start.agentDir, runFiles.messages)),
    stderrFrom: sizeOf(join(start.agentDir, runFiles.stderr)),
    eventsBefore: countEvents(join(runDir, runFiles.stdout)),
    process: before + 1,
    startedAt: now,
  })
}

const sizeOf = (path: string) => statSync(path, {throwIfNoEntry: false})?.size ?? 0
