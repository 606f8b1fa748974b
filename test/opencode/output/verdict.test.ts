import {describe, expect, test} from 'vitest'
import {readFact} from '../../../src/lib/opencode/output/events.ts'
import {RunRecord} from '../../../src/lib/opencode/output/record.ts'
import {tailOf, lastLines} from '../../../src/lib/opencode/output/tail.ts'
import {type Evidence, judge} from '../../../src/lib/opencode/output/verdict.ts'
import {limits} from '../../../src/lib/protocol/limits.ts'
import * as lines from '../../support/agent-lines.ts'

function recordOf(...printed: string[]): RunRecord {
  const record = new RunRecord()
  for (const line of printed) record.add(readFact(line))
  return record
}

const verdict = (printed: string[], rest: Partial<Evidence> = {}) =>
  judge({
    record: recordOf(...printed),
    exit: {code: 0, signal: null},
    stderr: '',
    stop: undefined,
    model: undefined,
    name: 'OpenCode',
    isDiskFull: false,
    ...rest,
  })

const exit1 = {exit: {code: 1, signal: null}}
const rejected = lines.tool('write', {
  status: 'error',
  error: 'The user rejected permission to use this specific tool call.',
})

describe('a task is completed', () => {
  test('when its last turn ended, with any exit code', () => {
    const printed = [lines.stepStart(), lines.finish('tool-calls'), lines.text('Done.'), lines.finish()]
    expect(verdict(printed)).toEqual({status: 'completed', error: null})
    expect(verdict(printed, exit1).status).toBe('completed')
    expect(verdict(printed, {exit: undefined}).status).toBe('completed')
  })

  test('when an error was followed by a turn that ended', () => {
    const printed = [
      lines.error('ContextOverflowError', 'too long'),
      lines.stepStart(),
      lines.text('ok'),
      lines.finish(),
    ]
    expect(verdict(printed, exit1).status).toBe('completed')
  })
})

describe('a task has failed', () => {
  test('when an error came last, with its message', () => {
    expect(verdict([lines.stepStart(), lines.finish(), lines.error('APIError', 'bad key')])).toEqual({
      status: 'failed',
      error: 'bad key',
    })
  })

  test('when nothing was printed, with the end of stderr without colours', () => {
    const stderr = 'Downloading…\n\u001b[91m\u001b[1mError: \u001b[0mno rg\n'
    expect(verdict([], {stderr})).toEqual({status: 'failed', error: 'Downloading…\nError: no rg'})
    expect(verdict([]).error).toBe('OpenCode exited with code 0 and printed nothing')
    expect(verdict(['hi\n']).error).toBe(
      'OpenCode exited with code 0 and printed no event, only lines of another kind (1): is opencode_bin the OpenCode program?',
    )
  })

  test('when it ended between two turns', () => {
    const killed = {exit: {code: null, signal: 'SIGKILL'}}
    expect(verdict([lines.stepStart(), lines.finish('tool-calls')], killed).error).toBe(
      'OpenCode was ended by SIGKILL before the task was done',
    )
  })

  test('when it ended after compacting a long session, before it continued', () => {
    const summary = [lines.stepStart(), lines.text('summary', 'msg_s'), lines.finish()]
    expect(verdict([...summary, lines.text('Continue', 'msg_u', {synthetic: true})]).status).toBe('failed')
  })

  test('when a permission stopped it, with the name of the permission', () => {
    const printed = [lines.stepStart(), rejected, lines.finish('tool-calls')]
    const stderr = '\u001b[93m! \u001b[0mpermission requested: external_directory (/etc/*); auto-rejecting\n'
    expect(verdict(printed, {stderr}).error).toContain('external_directory (/etc/*)')
    expect(verdict(printed).error).toContain('for the tool write')
    expect(verdict([lines.stepStart()], {stderr}).error).toContain('external_directory')
  })

  test('when a model is unknown, with the requested name', () => {
    const printed = [lines.error('UnknownError', 'Unexpected server error. Check server logs for details.')]
    expect(verdict(printed, {...exit1, model: 'fake/nope'}).error).toContain('fake/nope')
  })

  test('for the reason for which it was stopped', () => {
    const stop = {status: 'failed', error: 'Timed out after 5 s'} as const
    expect(verdict([lines.stepStart()], {stop})).toEqual(stop)
    expect(verdict([], {stop: {status: 'cancelled', error: ''}})).toEqual({
      status: 'cancelled',
      error: 'the run was cancelled',
    })
  })

  test('when the disk was full', () => {
    expect(verdict([lines.stepStart()], {isDiskFull: true}).error).toMatch(/^the disk is full: .*not complete$/)
    const stderr = 'Error: ENOSPC: no space left on device, write'
    expect(verdict([lines.stepStart()], {...exit1, stderr}).error).toBe(`the disk is full: ${stderr}`)
    const failed = [lines.error('UnknownError', 'database or disk is full')]
    expect(verdict(failed, exit1).error).toBe('the disk is full: database or disk is full')
    expect(verdict([lines.stepStart(), lines.finish()], {stderr}).status).toBe('completed')
  })

  test('but not because of the disk when the limit of file watchers is reached, which has the same error text', () => {
    const stderr = "inotify_add_watch on '/srv/api' failed: No space left on device"
    expect(verdict([lines.stepStart()], {...exit1, stderr}).error).not.toContain('the disk is full')
  })

  test('and always with a message', () => {
    expect(verdict([lines.error('', '')]).error).toMatch(/\S/)
    expect(verdict([lines.error('SomeError', '')]).error).toContain('SomeError')
  })
})

describe('the result', () => {
  test('is the last message with a text', () => {
    const printed = [lines.text('first', 'm1'), lines.text('a', 'm2'), lines.text('b', 'm2'), lines.text(' ', 'm3')]
    expect(recordOf(...printed).result).toBe('a\nb')
    expect(recordOf(lines.stepStart()).result).toBeNull()
  })

  test('is never a summary that OpenCode made for itself', () => {
    const summary = [lines.text('summary', 'm2'), lines.finish(), lines.text('Continue', 'm3', {synthetic: true})]
    expect(recordOf(lines.text('answer', 'm1'), ...summary).result).toBe('answer')
    expect(recordOf(...summary, lines.text('real', 'm4')).result).toBe('real')
  })

  test('is the end of a long text, and says that it is cut', () => {
    const result = recordOf(lines.text(`${'é'.repeat(limits.result)}END`)).result ?? ''
    expect(Buffer.byteLength(result)).toBeLessThanOrEqual(limits.result)
    expect(result).toMatch(/^\[… the first \d+ bytes are omitted\]\né+END$/)
  })
})

test('usage is the sum of all steps', () => {
  expect(recordOf(lines.finish('tool-calls'), lines.finish()).usage).toEqual({
    input: 20,
    output: 4,
    reasoning: 2,
    cache_read: 6,
    cache_write: 8,
    cost: 1,
  })
})

test('the tail is cut between characters, and stderr is reduced to few lines', () => {
  expect(tailOf('short', 100)).toBe('short')
  expect(tailOf('é'.repeat(100), 101)).not.toContain('\ufffd')
  expect(lastLines('1\n2\n\n3\r4\n5\n6\n7')).toBe('3\n4\n5\n6\n7')
})
