import {symlinkSync, mkdirSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import type {AgentSession} from '../../../src/lib/opencode/storage/agent-session.ts'
import {resumeProblem} from '../../../src/lib/worker/run/resume-check.ts'
import type {ActiveTask} from '../../../src/lib/worker/run/active-task.ts'
import {scratchFolder} from '../../support/scratch.ts'

const running = (id: string, sessionId: string) => ({id, sessionId}) as ActiveTask

test('a session is continued in its directory, also through a link, and each refusal has a reason', async () => {
  using scratch = scratchFolder()
  const [here, elsewhere, link] = ['here', 'elsewhere', 'link'].map((name) => join(scratch.path, name)) as [
    string,
    string,
    string,
  ]
  mkdirSync(here)
  mkdirSync(elsewhere)
  symlinkSync(here, link)
  const findSession = async (id: string) => (id === 'ses_1' ? ({id, directory: here} as AgentSession) : undefined)
  const check = (id: string, directory: string, tasks: ActiveTask[] = []) =>
    resumeProblem(id, {taskId: 'mine', directory}, {findSession, activeTasks: () => tasks})
  expect(await check('ses_1', here, [running('mine', 'ses_1')])).toBeUndefined()
  expect(await check('ses_1', link)).toBeUndefined()
  expect(await check('ses_2', here)).toMatch(/There is no session ses_2 on this worker/)
  expect(await check('ses_1', elsewhere)).toMatch(new RegExp(`belongs to ${here}, not to ${elsewhere}`))
  expect(await check('ses_1', here, [running('other', 'ses_1')])).toMatch(/in use by task other/)
})

test('if sessions cannot be read, the agent itself decides', async () => {
  using scratch = scratchFolder()
  const about = {taskId: 'mine', directory: scratch.path}
  const activeTasks = () => []
  const failing = () => Promise.reject(new Error('locked'))
  expect(await resumeProblem('ses_1', about, {findSession: failing, activeTasks})).toBeUndefined()
  expect(await resumeProblem('ses_1', about, {findSession: undefined, activeTasks})).toBeUndefined()
})
