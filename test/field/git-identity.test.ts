import {execFileSync} from 'node:child_process'
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {answering, printing, stepStart} from '../support/agent-lines.ts'
import {startOneWorker} from '../support/one-worker.ts'

const smith = 'Agent Smith <smith@example.org>'

let fleet: Awaited<ReturnType<typeof startOneWorker>>
beforeAll(async () => {
  fleet = await startOneWorker({env: {A2A_GIT_IDENTITY: smith}})
})
afterAll(() => fleet[Symbol.asyncDispose]())

/** Author and committer of a commit that an agent makes. */
async function committed(by = 'git commit --allow-empty -qm work'): Promise<string> {
  const shown = "git log -1 --format='%an <%ae>, %cn <%ce>'"
  const task = await fleet.begin(
    `${printing(stepStart())}{ ${by} && ${shown}; } >../printed 2>&1\n${answering('done')}`,
  )
  expect(await fleet.ended(task)).toMatchObject({status: 'completed'})
  return readFileSync(join(fleet.path, 'printed'), 'utf8').trim()
}

const git = (...args: string[]) => execFileSync('git', ['-C', fleet.tree, ...args], {env: {...fleet.env}})

test('an agent commits with git_identity where git knows no author', async () => {
  expect(await committed()).toBe(`${smith}, ${smith}`)
})

test('git_identity leaves the author of a commit that an agent amends', async () => {
  git('-c', 'user.name=Ada', '-c', 'user.email=ada@example.org', 'commit', '--allow-empty', '-qm', 'hers')
  expect(await committed('git commit --amend --allow-empty -qm ours')).toBe(`Ada <ada@example.org>, ${smith}`)
})

test('git_identity overrides neither the author of a repository nor that of the user', async () => {
  git('config', '--global', 'user.name', 'User')
  git('config', '--global', 'user.email', 'user@example.org')
  expect(await committed()).toBe('User <user@example.org>, User <user@example.org>')
  git('config', '--global', '--remove-section', 'user')
  git('config', 'user.name', 'Repository')
  git('config', 'user.email', 'repository@example.org')
  expect(await committed()).toBe('Repository <repository@example.org>, Repository <repository@example.org>')
  git('config', '--remove-section', 'user')
})
