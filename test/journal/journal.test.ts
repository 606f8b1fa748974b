import {readdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {DatabaseSync} from 'node:sqlite'
import {expect, test} from 'vitest'
import {Journal} from '../../src/lib/journal/journal.ts'
import {openJournal} from '../../src/lib/journal/open-journal.ts'
import {scratchFolder} from '../support/scratch.ts'

const run = (id: string) => ({
  task_id: id,
  attempt: 1,
  title: 't',
  path: '/srv/p',
  run_dir: `/state/runs/${id}/1`,
  marker: `w:${id}:1`,
  boot_id: 'boot',
  agent: 'build',
  model: null,
  codebase_id: 'c',
  started_at: 1,
})

async function filled(file: string, ...ids: string[]): Promise<void> {
  using journal = await Journal.open(file)
  for (const id of ids) journal.begin(run(id))
}

function edit(file: string, sql: string): void {
  const database = new DatabaseSync(file)
  database.exec(sql)
  database.close()
}

test.each([
  ['is no database', (file: string) => writeFileSync(file, 'x'.repeat(5000))],
  ['has lost its table', (file: string) => edit(file, 'DROP TABLE runs')],
  ['has other columns', (file: string) => edit(file, 'ALTER TABLE runs DROP COLUMN pid')],
  ['has a damaged page', (file: string) => writeFileSync(file, readFileSync(file).fill(0xff, 4096 + 4, 4096 + 40))],
])('a journal that %s is renamed, and replaced by an empty one', async (_, damage) => {
  using scratch = scratchFolder()
  const file = join(scratch.path, 'journal.db')
  await filled(file, 'a', 'b')
  damage(file)
  const messages: string[] = []
  using journal = await openJournal(file, {now: 0, onBroken: (text) => messages.push(text)})
  expect(messages).toEqual([expect.stringMatching(/is damaged .*journal\.db\.broken-1970-01-01T00-00-00-000Z/)])
  expect(readdirSync(scratch.path)).toContain('journal.db.broken-1970-01-01T00-00-00-000Z')
  expect(journal.unfinished()).toEqual([])
})

test('a journal of a newer version is not damaged: it stays unchanged', async () => {
  using scratch = scratchFolder()
  const file = join(scratch.path, 'journal.db')
  await filled(file, 'a')
  edit(file, 'PRAGMA user_version = 99')
  await expect(openJournal(file, {now: 0, onBroken: () => {}})).rejects.toMatchObject({
    exitCode: 78,
    message: /newer version/,
  })
})

test.each([
  ['run_dir', "'/'"],
  ['marker', "'another:run:1'"],
  ['attempt', '-1'],
  ['pid', "'abc'"],
  ['cursor', '4611686018427387904'],
  ['started_at', '8700000000000000'],
  ['task_id', "'../../x'"],
])('a row with an invalid %s is removed once, and the other rows are read', async (column, value) => {
  using scratch = scratchFolder()
  const file = join(scratch.path, 'journal.db')
  await filled(file, 'a', 'b')
  edit(file, `UPDATE runs SET ${column} = ${value} WHERE task_id = 'a'`)
  using journal = await Journal.open(file)
  const unreadable: string[] = []
  expect(journal.unfinished((id) => unreadable.push(id)).map((one) => one.task_id)).toEqual(['b'])
  expect(unreadable).toHaveLength(1)
  journal.unfinished((id) => unreadable.push(id))
  expect(unreadable).toHaveLength(1)
})
