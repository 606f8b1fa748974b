#!/usr/bin/env node
// Stands in for OpenCode under faults. It prints what its plan says, and keeps a record of its own of what it did:
// when it began, how many bytes it has written, when it ended, and whether another worked on the same at the same time.
import {spawn} from 'node:child_process'
import {closeSync, existsSync, mkdirSync, openSync, readFileSync, unlinkSync, writeFileSync, writeSync} from 'node:fs'
import {join} from 'node:path'
import {linesOf} from './agent-output.mjs'

/** Locks of this process. */
const held = []

const [command, ...args] = process.argv.slice(2)
if (command === '--version') console.log('1.18.33')
else if (command === 'models') console.log('stub/fast')
else if (command === 'agent') console.log('build (primary)')
else if (args.includes('--help')) console.log('--agent --format --model --session --title')
else await run().catch(giveUp)

/** A full disk is a fault that was meant; anything else is a mistake in here, and must not look like one. */
function giveUp(error) {
  process.exitCode = 1
  console.error(error.message)
  letGo()
  if (error.code !== 'ENOSPC')
    writeFileSync(join(process.env.OPENCODE_CHAOS_RECORDS, 'mistakes'), `${process.env.A2A_RUN} ${error.stack}\n`, {
      flag: 'a',
    })
}

async function run() {
  const records = process.env.OPENCODE_CHAOS_RECORDS
  const [, task, attempt] = process.env.A2A_RUN.split(':')
  const folder = join(records, task)
  mkdirSync(folder, {recursive: true})
  hold(join(folder, 'lock'), `task ${task}`)
  hold(join(records, `${process.cwd().replaceAll('/', '_')}.lock`), `tree ${process.cwd()}`)
  const plan = planOf(folder)
  const start = begin(folder, attempt)
  const record = openSync(join(folder, `${attempt}.${start}.written`), 'w')
  const wanted = plan.traps ? () => {} : undefined
  if (wanted) process.on('SIGTERM', wanted)
  let written = 0
  let i = 0
  for (const line of linesOf(task, Number(attempt), start, plan)) {
    const bytes = Buffer.from(line)
    for (let at = 0; at < bytes.length;) {
      const step = writeSync(1, bytes, at) // throws ENOSPC: then the record tells what is there
      at += step
      written += step
      writeSync(record, String(written).padStart(12), 0)
    }

    if (i === 1) leave(plan.child)
    i += 1
    if (plan.pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, plan.pauseMs))
  }

  closeSync(record)
  writeFileSync(join(folder, `${attempt}.${start}.end`), plan.end, {flag: 'wx'})
  letGo()
  process.exitCode = plan.end === 'done' ? 0 : 1
}

/** The plan is the first prompt; a run that is continued has another. */
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

/** Takes what only one may have. That somebody alive has it is what the whole exercise is to find. */
function hold(file, what) {
  const me = `${process.pid} ${startTimeOf(process.pid)}`
  for (;;) {
    try {
      writeFileSync(file, me, {flag: 'wx'})
      held.push(file)
      return
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }

    const other = existsSync(file) ? readFileSync(file, 'utf8') : ''
    const [pid, startTime] = other.split(' ')
    if (other !== '' && startTimeOf(pid) === startTime) {
      const note = `${what}: ${other} works on it, and so does ${me} (${process.env.A2A_RUN})\n`
      writeFileSync(join(process.env.OPENCODE_CHAOS_RECORDS, 'at-once'), note, {flag: 'a'})
      return
    }
    if (other !== '' && readText(file) === other) unlinkSync(file)
  }
}

function letGo() {
  for (const file of held) unlinkSync(file)
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

/** Leaves a process behind that gets out of the agent's group and session, and keeps one sign of where it is from. */
function leave(child) {
  if (child === 'none') return
  const token = process.env.OPENCODE_CHAOS_TOKEN
  const sleep = ['setsid', 'sleep', token]
  const [file, ...args] = child === 'marked' ? sleep : ['env', '-i', `PATH=${process.env.PATH}`, ...sleep]
  spawn(file, args, {
    cwd: child === 'folder' ? process.env.TMPDIR : process.cwd(),
    stdio: child === 'descriptor' ? ['ignore', 'inherit', 'inherit'] : 'ignore',
  }).unref()
}
