import {execFileSync} from 'node:child_process'
import {mkdirSync, readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import type {Running} from './cli.ts'
import {startFleet} from './fleet.ts'
import {openCode, startModel} from './scripted-model.ts'

/** A fleet whose agent is the real OpenCode, with the scripted model behind it. */
export async function startOpenCodeFleet(more: Record<string, string> = {}) {
  const model = await startModel()
  const env = {...model.env, OPENCODE_BIN_PATH: openCode, A2A_AUTH_TOKEN: 'token-of-the-worker', ...more}
  const fleet = await startFleet({env})
  mkdirSync(join(fleet.path, 'outside'))
  return {
    ...fleet,
    requests: model.requests,
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]()
      await model[Symbol.asyncDispose]()
    },
  }
}

/** Processes that carry the marker of a task. */
export function processesOf(task: string): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/environ`, 'latin1').includes(`:${task}:`)
    } catch {
      return false
    }
  })
}

/** What worker and agents have said, and which processes there are: for the message of a wait that was in vain. */
export function toldBy({path}: {path: string}, worker: Running): string {
  const logs = execFileSync('sh', [
    '-c',
    `cd '${path}' && tail -n 20 state/workers/*/runs/*/*/stderr.log home/.local/share/opencode/log/* 2>&1; ps -eo pid,ppid,stat,wchan:20,etime,args | grep -v '\\[' | cut -c1-200`,
  ])
  return `the worker:\n${worker.stderr()}\nthe agents:\n${logs.toString('utf8')}`
}
