import {constants, rmSync} from 'node:fs'
import {join} from 'node:path'
import type {InstalledAgent} from '../../agents/installed-agents.ts'
import {beginLog, type NewStart} from '../acp/begin-log.ts'
import {driveCommand} from '../acp/command-drive.ts'
import type {AgentWay} from '../agent-way.ts'
import {append, openFiles} from '../run-files.ts'
import {runFiles} from '../spool/file-names.ts'

/** Runs the command and records its exit code, which another worker process could not learn otherwise. */
const wrapper = 'file=$1; shift; "$@"; code=$?; echo "$code" >"$file"; exit "$code"'

/** A command without a model. */
export const commandWay = (agent: InstalledAgent): AgentWay => ({
  name: agent.name,
  binary: '/bin/sh',
  allow: agent.envAllow,
  usesPlugin: false,
  async plan({prompt, runDir}) {
    const [, ...words] = agent.command
    const args = words.map((word) => word.replaceAll('{{prompt}}', () => prompt))
    return {args: ['-c', wrapper, 'sh', join(runDir, runFiles.exit), agent.binary, ...args], model: undefined}
  },
  open(runDir) {
    rmSync(join(runDir, runFiles.exit), {force: true})
    return openFiles(runDir, {stdin: [runFiles.prompt, constants.O_RDONLY], stdout: [runFiles.messages, append]})
  },
  converse({request: {runDir, cwd}, clock}) {
    const start: NewStart = {
      ...{kind: 'command', program: agent.name, name: agent.name, cwd, sessionId: null, model: null, mode: null},
      ...{permissions: 'allow', askMs: 0, fallsBack: false, hasReporter: false},
      ...{agentDir: runDir, prefix: '', announced: null},
    }
    const log = beginLog(runDir, start, clock.now())
    return () => driveCommand(runDir, log, clock.now)
  },
})
