import {copyFileSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {DatabaseSync, type SQLInputValue} from 'node:sqlite'
import {Journal} from '../../src/lib/journal/journal.ts'
import {openJournal} from '../../src/lib/journal/open-journal.ts'
import {savedReport} from '../../src/lib/worker/recovery/inspect-run.ts'
import {mutateBytes} from '../mutate-bytes.ts'
import {mutateJson} from '../mutate-json.ts'
import type {Random} from '../random.ts'
import {report} from '../samples.ts'
import {verdictOf, check, type Target} from '../target.ts'

const exits = [73, 78]

/** A journal with damaged pages, or with arbitrary values in its rows. */
export const journal: Target = {
  name: 'journal',
  share: 60,
  async open(folder) {
    const samples = await makeSamples(folder)
    const file = join(folder, 'journal.db')
    return {
      async run(random) {
        for (const name of readdirSync(folder)) if (name.startsWith('journal.db')) rmSync(join(folder, name))
        if (random.chance(0.6)) damageFile(samples, file, random)
        else fillRows(samples, file, random)
        let isReplaced = false
        const verdict = await verdictOf(
          async () => {
            using opened = await openJournal(file, {now: Date.now(), onBroken: () => (isReplaced = true)})
            for (const run of opened.unfinished()) check(savedReport(run)?.status !== '', 'a report has a status')
            check(
              opened.unfinished(() => check(false, 'an invalid row is removed once')).length >= 0,
              'the rows can be read again',
            )
            opened.begin({...row(9), task_id: 'next', marker: 'w:next:1', run_dir: '/r/next/1'})
            check(
              opened.unfinished().some(({task_id: id}) => id === 'next'),
              'it accepts the next run',
            )
          },
          ...exits,
        )
        return isReplaced ? 'refused' : verdict
      },
    }
  },
}

const row = (i: number) => ({
  task_id: `task-${i}`,
  attempt: 1,
  title: 'Fix it',
  path: '/srv/p',
  run_dir: `/state/runs/task-${i}/1`,
  marker: `w:task-${i}:1`,
  boot_id: 'boot',
  agent: 'build',
  model: null,
  codebase_id: 'codebase-1',
  started_at: 1_767_000_000_000,
})

type Samples = {whole: string; wal: string}

/** A closed journal, and one with a write-ahead log, as a killed worker leaves it. */
async function makeSamples(folder: string): Promise<Samples> {
  const [whole, wal] = [join(folder, 'whole.db'), join(folder, 'killed.db')]
  for (const file of [whole, wal]) {
    using made = await Journal.open(file)
    for (let i = 0; i < 30; i++) made.begin(row(i))
    for (let i = 0; i < 10; i++) made.saveReport(row(i), report)
    if (file === wal) for (const part of ['', '-wal']) copyFileSync(file + part, `${file}.copy${part}`)
  }

  return {whole, wal: `${wal}.copy`}
}

function damageFile({whole, wal}: Samples, file: string, random: Random): void {
  const from = random.pick([whole, wal, wal])
  const parts = ['', '-wal'].filter((part) => existsSync(from + part))
  const damaged = random.pick(parts)
  for (const part of parts) {
    const bytes = readFileSync(from + part)
    writeFileSync(file + part, part === damaged ? mutatePages(bytes, random) : bytes)
  }
}

/** Usually changes the headers of the file and of its pages. */
function mutatePages(bytes: Buffer, random: Random): Buffer {
  if (random.chance(0.3)) return mutateBytes(bytes, random)
  const copy = Buffer.from(bytes)
  for (let i = random.below(4); i >= 0; i--) {
    const page = random.below(Math.ceil(copy.length / 4096)) * 4096
    const at = page + random.below(random.pick([16, 110, 4096]))
    if (at < copy.length) copy[at] = random.below(256)
  }

  return copy
}

const columns = [
  'task_id',
  'attempt',
  'title',
  'path',
  'run_dir',
  'marker',
  'boot_id',
  'pid',
  'start_time',
  'session_id',
].concat(['cursor', 'report', 'agent', 'model', 'codebase_id', 'started_at', 'resumes'])

function fillRows({whole}: Samples, file: string, random: Random): void {
  copyFileSync(whole, file)
  const database = new DatabaseSync(file)
  const odd: SQLInputValue[] = [
    '',
    '\0',
    '/',
    '..',
    'x'.repeat(5000),
    -1,
    1.5,
    2n ** 62n,
    -(2n ** 63n),
    new Uint8Array(9),
  ]
  for (let i = random.below(8); i >= 0; i--) {
    const value = random.chance(0.4) ? mutateJson(report, random) : random.pick(odd)
    const column = random.chance(0.3) ? 'report' : random.pick(columns)
    database.prepare(`UPDATE OR IGNORE runs SET ${column} = ? WHERE rowid = ?`).run(value, 1 + random.below(30))
  }

  if (random.chance(0.1))
    database.exec(
      random.pick([
        'DROP TABLE runs',
        'PRAGMA user_version = 7',
        'PRAGMA user_version = 0',
        'ALTER TABLE runs DROP COLUMN pid',
      ]),
    )
  database.close()
}
