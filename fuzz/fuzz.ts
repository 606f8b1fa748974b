// Feeds broken input (streams, answers, agent lines, requests, files) to the code that parses it. The code must accept
// or refuse the input, in time, and without a leak. A finding names the command that repeats it alone.
import {parseArgs} from 'node:util'
import {targets} from './targets.ts'
import {watchTarget, type Outcome} from './watch.ts'

const maxGrowthMb = 20

const {values} = parseArgs({
  args: process.argv.slice(2).filter((word) => word !== '--'),
  options: {
    count: {type: 'string', default: '100000'},
    seed: {type: 'string', default: '1'},
    target: {type: 'string'},
    case: {type: 'string'},
  },
})
const seed = Number(values.seed)
const count = Number(values.count)
const chosen = targets.filter(({name, share}) => (values.target === undefined ? share > 0 : name === values.target))
if (chosen.length === 0) throw new Error(`--target: one of ${targets.map(({name}) => name).join(', ')}`)
const shares = chosen.reduce((sum, {share}) => sum + Math.max(share, 1), 0)

const outcomes: Outcome[] = []
for (const {name, share, batch = 1} of chosen) {
  const cases = Math.ceil((count * Math.max(share, 1)) / shares)
  const only = values.case === undefined ? undefined : Number(values.case)
  const range = only === undefined ? {from: 0, to: cases} : {from: only - (only % batch), to: only + 1}
  const outcome = await watchTarget(name, seed, range)
  outcomes.push(outcome)
  for (const {kind, case: number, detail} of outcome.findings)
    process.stdout.write(
      `\n${kind} in ${name}, seed ${seed}, case ${number}: ${detail}\n  npm run fuzz -- --target ${name} --seed ${seed} --case ${number}\n`,
    )
}

const row = (cells: (string | number)[]) =>
  `${String(cells[0]).padEnd(12)}${cells
    .slice(1)
    .map((cell) => String(cell).padStart(10))
    .join('')}\n`
const countFindings = (outcome: Outcome, wanted: 'crash' | 'hang') =>
  outcome.findings.filter(({kind}) => kind === wanted).length

process.stdout.write(`\n${row(['target', 'cases', 'accepted', 'refused', 'crashes', 'hangs', 'growth'])}`)
for (const outcome of outcomes) {
  const {target, cases, accepted, refused, growth} = outcome
  const figures = [
    cases,
    accepted,
    refused,
    countFindings(outcome, 'crash'),
    countFindings(outcome, 'hang'),
    `${growth.toFixed(1)} MB`,
  ]
  process.stdout.write(row([target, ...figures]))
}

const growing = outcomes.filter(({growth}) => growth > maxGrowthMb).map(({target}) => target)
if (growing.length > 0) process.stdout.write(`\nmemory grows by more than ${maxGrowthMb} MB: ${growing.join(', ')}\n`)
process.exitCode = growing.length > 0 || outcomes.some(({findings}) => findings.length > 0) ? 1 : 0
