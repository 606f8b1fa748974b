import {expect, test} from 'vitest'
import {text} from '../support/agent-lines.ts'
import {startFleet} from '../support/fleet.ts'
import {until} from '../support/scratch.ts'

/** Turns the direction of text, and hides letters: on a terminal, what follows looks like another text. */
const bidi = '\u202egnp\u2066.\u200bexe'
const shown = '<U+202E>gnp<U+2066>.<U+200B>exe'
const hidden = /[\p{Cf}\u2028\u2029\u0080-\u009f]/u

test('hidden characters in a title, an output, a log or an error are codes, in tables, details and JSON alike', async () => {
  await using fleet = await startFleet({isPlaneProcess: true})
  const {http} = fleet
  const codebase = await http.codebase('w', `/srv/${bidi}`)
  const {id} = await http.task(codebase, {title: `t ${bidi}`})
  await http.claim('w', id)
  const output = `${text(`said ${bidi}\u2028end`)}\n`
  await http.call('POST', `/v1/opencode/tasks/${id}/output`, {worker_id: 'w', output})
  await http.call('PUT', `/v1/opencode/tasks/${id}/status`, {worker_id: 'w', status: 'failed', error: `e ${bidi}`})
  const commands = [
    ['tasks', 'list'],
    ['tasks', 'get', id],
    ['tasks', 'output', id],
    ['tasks', 'retry', `no-such-${bidi}`],
  ]
  for (const args of commands) {
    const {stdout, stderr} = await fleet.cli(args)
    expect(stdout + stderr, args.join(' ')).toContain(shown)
    expect(stdout + stderr, args.join(' ')).not.toMatch(hidden)
  }
  const json = (await fleet.cli(['tasks', 'get', id, '--json'])).stdout
  expect(json).not.toMatch(hidden)
  expect(JSON.parse(json).title).toBe(`t ${bidi}`)
  await until(() => fleet.plane().stderr().includes(`Task failed after`), 'the log')
  expect(fleet.plane().stderr()).toContain(`e ${shown}`)
  expect(fleet.plane().stderr()).not.toMatch(hidden)
})
