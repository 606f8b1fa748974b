#!/usr/bin/env node
// Replaces OpenCode in chaos runs. It prints the output of its plan, and writes its own records: when it began, how
// many bytes it has written, when it ended, and whether another agent ran the same task at the same time.
import {spawn} from 'node:child_process'
import {closeSync, existsSync, mkdirSync, openSync, readFileSync, unlinkSync, writeFileSync, writeSync} from 'node:fs'
import {join} from 'node:path'
import {linesOf} from './agent-output.mjs'

/** The lock files of this process. */
const locks = []

const [command, ...args] = process.argv.slice(2)
if (command === '--version') console.log('1.18.0')
else if (command === 'models') console.log('stub/fast')
else if (command === 'agent') console.log('build (primary)')
else if (args.includes('--help')) console.log('--agent --format --model --session --title')
else await run().catch(fail)

/** A full disk is an injected fault. Any other error is a bug of this stub, and is recorded. */
function fail(error) {
  process.exitCode = 1
  console.error(error.message)
  releaseLocks()
  if (error.code !== 'ENOSPC')
    writeFileSync(join(process.env.OPENCODE_CHAOS_RECORDS, 'errors'), `${process.env.A2A_RUN} ${error.stack}\n`, {
      flag: 'a',
    })
}

async function run() {
  const records = process.env.OPENCODE_CHAOS_RECORDS
  const [, task, attempt] = process.env.A2A_RUN.split(':')
  const folder = join(records, task)
  mkdirSync(folder, {recursive: true})
  takeLock(join(folder, 'lock'), `task ${task}`)
  takeLock(join(records, `${process.cwd().replaceAll('/', '_')}.lock`), `tree ${process.cwd()}`)
  const plan = planOf(folder)
  const start = begin(folder, attempt)
  const record = openSync(join(folder, `${attempt}.${start}.written`), 'w')
  const ignore = plan.traps ? () => {} : undefined
  if (ignore) process.on('SIGTERM', ignore)
  let written = 0
  let i = 0
  for (const line of linesOf(task, Number(attempt), start, plan)) {
    const bytes = Buffer.from(line)
    for (let at = 0; at < bytes.length;) {
      const step = writeSync(1, bytes, at) // may throw ENOSPC: the record has the bytes written until then
      at += step
      written += step
      writeSync(record, String(written).padStart(12), 0)
    }

    if (i === 1) leaveOrphan(plan.child)
    i += 1
    if (plan.pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, plan.pauseMs))
  }

  closeSync(record)
  writeFileSync(join(folder, `${attempt}.${start}.end`), plan.end, {flag: 'wx'})
  releaseLocks()
  process.exitCode = plan.end === 'done' ? 0 : 1
}

/** The plan is the first prompt. A continued run has another prompt. */
function planOf(folder) {
  const file = join(folder, 'plan')
  const prompt = readFileSync(0, 'utf8')
  if (prompt.startsWith('{')) writeFileSync(file, prompt)
  return JSON.parse(readFileSync(file, 'utf8'))
}

function begin(folder, attempt) {
  for (let start = 1; ; start++) {
    try {
      writeFileSync(join(folder, `${attempt}.${start}.begin`), String(process.pid), {flag: 'wx'})
      return start
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
  }
}

/** Takes an exclusive lock. A live holder is a violation, which is recorded. */
function takeLock(file, what) {
  const me = `${process.pid} ${startTimeOf(process.pid)}`
  for (;;) {
    try {
      writeFileSync(file, me, {flag: 'wx'})
      locks.push(file)
      return
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }

    const other = existsSync(file) ? readFileSync(file, 'utf8') : ''
    const [pid, startTime] = other.split(' ')
    if (other !== '' && startTimeOf(pid) === startTime) {
      const note = `${what}: ${other} runs it, and so does ${me} (${process.env.A2A_RUN})\n`
      writeFileSync(join(process.env.OPENCODE_CHAOS_RECORDS, 'concurrent'), note, {flag: 'a'})
      return
    }
    if (other !== '' && readText(file) === other) unlinkSync(file)
  }
}

function releaseLocks() {
  for (const file of locks) unlinkSync(file)
}

function readText(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Undefined for a process that has ended. */
function startTimeOf(pid) {
  const stat = readText(`/proc/${pid}/stat`)
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return state === 'Z' || state === 'X' || stat === '' ? undefined : fields[18]
}

/** Leaves an orphan outside of the agent's group and session, with one sign of its origin, or (`shed`) with none. */
function leaveOrphan(child) {
  if (child === 'none') return
  const token = process.env.OPENCODE_CHAOS_TOKEN
  if (child === 'shed') {
    const line = `(cd / && env -i setsid /bin/sh -c '/bin/sleep ${token} & exit' </dev/null >/dev/null 2>&1)`
    spawn('/bin/sh', ['-c', line], {stdio: 'ignore'}).unref()
    return
  }
  const sleep = ['setsid', 'sleep', token]
  const [file, ...args] = child === 'marked' ? sleep : ['env', '-i', `PATH=${process.env.PATH}`, ...sleep]
  spawn(file, args, {
    cwd: child === 'folder' ? process.env.TMPDIR : process.cwd(),
    stdio: child === 'descriptor' ? ['ignore', 'inherit', 'inherit'] : 'ignore',
  }).unref()
}
