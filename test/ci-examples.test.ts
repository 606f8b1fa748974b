import {execa} from 'execa'
import {copyFileSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {basename, join} from 'node:path'
import {afterAll, expect, test} from 'vitest'
import {parse} from 'yaml'
import {root} from './support/cli.ts'
import {openWorkflowParser} from './support/docs/github-workflow.ts'
import {blocksOf} from './support/docs/markdown.ts'
import {startFleet} from './support/fleet.ts'
import {archive} from './support/package.ts'
import {repository, until} from './support/scratch.ts'

type Step = {run?: string; if?: string; uses?: string}
type Workflow = {jobs: Record<string, {env: Record<string, string>; steps: Step[]}>}

const [taskText = '', reviewText = '', gitlabText = ''] = blocksOf(
  readFileSync(join(root, 'docs/ci.md'), 'utf8'),
).flatMap(({info, text}) => (info === 'yaml' ? [text] : []))

const fleet = await startFleet({
  env: {A2A_AUTH_TOKEN: 'admin-secret', OPENCODE_STUB_TEXT: 'It is mended.'},
  tokens: [
    {name: 'me', scope: 'admin', token: 'admin-secret'},
    {name: 'ci', scope: 'client', token: 'client-secret'},
  ],
})
afterAll(() => fleet[Symbol.asyncDispose]())
const api = repository(join(fleet.path, 'srv/api'))
await fleet.worker('build-host', [`api:${api}`])

let checkouts = 0
/** A checkout of a job: a branch with a change, the prompt, and the archive. All that it installs is below its folder. */
async function checkout(prompt: string) {
  checkouts += 1
  const folder = join(fleet.path, `job-${checkouts}`)
  const origin = repository(`${folder}-origin`)
  const git = (...args: string[]) => execa('git', ['-C', folder, ...args])
  await execa('git', ['-C', origin, 'branch', '--move', '--force', 'main'])
  await execa('git', ['clone', '--quiet', origin, folder])
  mkdirSync(join(folder, 'tools'))
  copyFileSync(archive(), join(folder, 'tools', basename(archive())))
  writeFileSync(join(folder, 'prompt.md'), prompt)
  await git('checkout', '--quiet', '-b', 'change')
  await git('add', 'prompt.md')
  await git('-c', 'user.name=n', '-c', 'user.email=n@example.org', 'commit', '--quiet', '-m', 'Change')
  const home = `${folder}-home`
  mkdirSync(home)
  const prefix = join(home, 'npm')
  const {A2A_AUTH_TOKEN: _admin, ...env} = fleet.env
  const job = {
    ...env,
    HOME: home,
    NPM_CONFIG_PREFIX: prefix,
    NPM_CONFIG_OFFLINE: 'true',
    PATH: `${join(prefix, 'bin')}:${fleet.env['PATH'] ?? ''}`,
    GITHUB_STEP_SUMMARY: join(folder, 'summary.md'),
    GITHUB_BASE_REF: 'main',
  }
  const file = (name: string) => readFileSync(join(folder, name), 'utf8')
  return {folder, git, env: job, file}
}

type Job = Awaited<ReturnType<typeof checkout>>

/** What stands for something of another machine. */
const here = (text: string) =>
  text
    .replaceAll('https://plane.example', fleet.url)
    .replaceAll('${{ secrets.A2A_AUTH_TOKEN }}', 'client-secret')
    .replaceAll('${{ secrets.ANTHROPIC_API_KEY }}', 'a-key')
    .replaceAll('install -g --allow-scripts=opencode-ai opencode-ai ', 'install -g ') // comes from the registry; here the stub stands for it

/** Runs the steps as the runner of GitHub does: `bash -e` for each; after a failure only those with `always()`. */
async function runSteps(text: string, {folder, env}: Job) {
  const [{env: own = {}, steps = []} = {}] = Object.values((parse(here(text)) as Workflow).jobs)
  let failed: number | undefined
  for (const {run, if: condition} of steps) {
    if (run === undefined || run.startsWith('sudo ')) continue // what it installs is there
    if (failed !== undefined && condition !== 'always()') continue
    const script = join(fleet.path, 'step.sh')
    writeFileSync(script, run)
    const {exitCode} = await execa('bash', ['-e', script], {
      cwd: folder,
      env: {...env, ...own},
      extendEnv: false,
      reject: false,
    })
    failed ??= exitCode === 0 ? undefined : exitCode
  }
  return failed ?? 0
}

test('the workflows of docs/ci.md and our own are right for the parser of GitHub', async () => {
  const problems = await openWorkflowParser(fleet.path)
  const own = readFileSync(join(root, '.github/workflows/ci.yml'), 'utf8')
  for (const text of [taskText, reviewText, own]) expect(problems(text)).toEqual([])
  expect(problems(taskText.replace('runs-on', 'runs-onn').replace('secrets.', 'secretz.'))).toEqual([
    expect.stringContaining("Unexpected value 'runs-onn'"),
    expect.stringContaining("Unrecognized named-value: 'secretz'"),
    expect.stringContaining('Required property is missing: runs-on'),
  ])
})

test('the GitHub job with a control plane ends as the task does, and shows its result or its error', async () => {
  const right = await checkout('Fix it')
  expect([await runSteps(taskText, right), right.file('summary.md')]).toEqual([0, 'It is mended.\n'])
  const wrong = await checkout('@nofinish @exit=3')
  expect(await runSteps(taskText, wrong)).toBe(1)
  expect(wrong.file('summary.md')).toContain('OpenCode exited with code 3')
  const away = await checkout('Fix it')
  expect(await runSteps(taskText.replaceAll('https://plane.example', 'http://127.0.0.1:9'), away)).toBe(69)
  expect(away.file('summary.md')).toContain('nothing listens there')
})

test('the GitHub job without a control plane reviews the difference to main', async () => {
  const job = await checkout('a prompt that the branch adds')
  expect([await runSteps(reviewText, job), job.file('summary.md')]).toEqual([0, 'It is mended.\n'])
  const starts = readFileSync(fleet.env['OPENCODE_STUB_LOG'] ?? '', 'utf8')
    .trim()
    .split('\n')
  const [last] = starts
    .map((line) => JSON.parse(line) as {at: string; prompt: string; cwd: string; env: string[]})
    .filter(({at}) => at === 'start')
    .slice(-1)
  expect(last?.prompt).toContain('+a prompt that the branch adds')
  expect(last?.cwd).toBe(job.folder)
  expect(last?.env).toContain('ANTHROPIC_API_KEY')
})

test('the GitLab job has the form of its schema, and its script runs', async () => {
  const job = await checkout('Fix it')
  await job.git('remote', 'set-url', 'origin', 'git@gitlab.example:team/api.git')
  const list = async (text: string) => {
    writeFileSync(join(job.folder, '.gitlab-ci.yml'), text)
    const program = join(root, 'node_modules/.bin/gitlab-ci-local')
    const {exitCode, all} = await execa(program, ['--list'], {cwd: job.folder, env: job.env, reject: false, all: true})
    return {exitCode, all}
  }
  expect(await list(gitlabText)).toMatchObject({exitCode: 0, all: expect.stringMatching(/^task +test +on_success/m)})
  expect((await list(gitlabText.replace('when: always', 'wehn: always'))).all).toContain(
    "'wehn' property is not expected",
  )
  const {task} = parse(here(gitlabText)) as {task: {variables: Record<string, string>; script: string[]}}
  const env = {...job.env, ...task.variables, A2A_AUTH_TOKEN: 'client-secret'}
  await execa('bash', ['-eo', 'pipefail', '-c', task.script.join('\n')], {cwd: job.folder, env, extendEnv: false})
  expect(JSON.parse(job.file('task.json'))).toMatchObject({status: 'completed', result: 'It is mended.'})
})

test('a job that is killed cancels its task', async () => {
  const job = await checkout('@hang')
  const [{steps = []} = {}] = Object.values((parse(here(taskText)) as Workflow).jobs)
  const line = steps.find(({run}) => run?.startsWith('a2a-worker tasks create'))?.run ?? ''
  const running = fleet.startAs(line.replace(/ > .*/, '').split(' ').slice(1), {
    cwd: job.folder,
    env: {...job.env, A2A_AUTH_TOKEN: 'client-secret'},
  })
  const newest = async () =>
    (
      (await fleet.http.call('GET', '/v1/opencode/tasks?order=newest&limit=1')).body as {id: string; status: string}[]
    )[0]
  await until(async () => (await newest())?.status === 'running', 'the task to run')
  running.process.kill('SIGINT')
  expect((await running.finished).code).toBe(130)
  expect((await fleet.ended((await newest())?.id ?? '')).status).toBe('cancelled')
})
