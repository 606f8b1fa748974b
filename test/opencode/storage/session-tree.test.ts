import {mkdirSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {sessionTree} from '../../../src/lib/opencode/storage/session-tree.ts'
import {agentTree} from '../../support/agent-storage.ts'
import {scratchFolder} from '../../support/scratch.ts'

function planted() {
  const scratch = scratchFolder()
  const storage = join(scratch.path, 'storage')
  return {storage, tree: agentTree(storage), source: sessionTree(storage), [Symbol.dispose]: scratch[Symbol.dispose]}
}

test('sessions of all projects are read, filtered by directory, newest first', () => {
  using one = planted()
  one.tree.session({id: 'ses_a', directory: '/a', created: 1000, updated: 5000})
  one.tree.session({id: 'ses_b', directory: '/a', created: 2000, updated: 9000}, 'global')
  one.tree.session({id: 'ses_clone', directory: '/clone'})
  one.tree.session({id: 'ses_sub', directory: '/a', parent: 'ses_a'})
  one.tree.message({id: 'msg_1', session: 'ses_a'})
  one.tree.message({id: 'msg_2', session: 'ses_a'})
  expect(one.source.sessions({inside: ['/a']})).toEqual([
    expect.objectContaining({id: 'ses_b', messages: 0}),
    {
      id: 'ses_a',
      title: 'about ses_a',
      directory: '/a',
      projectId: 'p',
      version: '1.0.152',
      created: 1000,
      updated: 5000,
      messages: 2,
      summary: {additions: null, deletions: null, files: 3},
    },
  ])
  expect(one.source.sessions({outside: ['/a']}).map(({id}) => id)).toEqual(['ses_clone'])
  expect(one.source.sessions({inside: ['/a']}, 'ses_a')).toHaveLength(1)
})

test('messages are in order, with their parts as OpenCode wrote them', () => {
  using one = planted()
  one.tree.message({
    id: 'msg_2',
    session: 'ses_a',
    parts: [
      {id: 'prt_2', type: 'text', text: 'b'},
      {id: 'prt_1', type: 'text', text: 'a'},
    ],
  })
  one.tree.message({id: 'msg_1', session: 'ses_a', parts: []})
  expect(one.source.messageIds('ses_a')).toEqual(['msg_1', 'msg_2'])
  expect(one.source.message('ses_a', 'msg_2')).toMatchObject({
    id: 'msg_2',
    info: expect.stringContaining('"role":"user"'),
    parts: [{id: 'prt_1', data: expect.stringContaining('"text":"a"')}, {id: 'prt_2'}],
  })
  expect(one.source.message('ses_a', 'msg_3')).toBeUndefined()
})

test('a session without a directory belongs to the worktree of its project', () => {
  using one = planted()
  one.tree.project('p', '/work')
  one.tree.write(['session', 'p', 'ses_a.json'], {id: 'ses_a', projectID: 'p', title: 'old', time: {created: 1}})
  one.tree.write(['session', 'q', 'ses_b.json'], {id: 'ses_b', projectID: '../q', title: 'hostile'})
  expect(one.source.sessions({outside: []})).toMatchObject([
    {id: 'ses_a', directory: '/work', created: 1, updated: null},
  ])
})

test('files that are half written, not JSON, or oddly named are skipped', () => {
  using one = planted()
  one.tree.session({id: 'ses_a', directory: '/a'})
  one.tree.write(['session', 'p', 'ses_half.json'], '{"id": "ses_half", "dire')
  one.tree.write(['session', 'p', 'ses_number.json'], '7')
  one.tree.write(['session', 'p', 'ses b.json'], {directory: '/a'})
  one.tree.write(['session', 'p', '.hidden'], 'x')
  one.tree.write(['session', 'p', 'ses_odd.json'], {directory: '/a', title: 7, time: 'now', version: []})
  mkdirSync(join(one.storage, 'session/p/ses_folder.json'))
  expect(one.source.sessions({inside: ['/a']}).map(({id, title}) => [id, title])).toEqual([
    ['ses_a', 'about ses_a'],
    ['ses_odd', null],
  ])
  rmSync(one.storage, {recursive: true})
  expect(one.source.sessions({inside: ['/a']})).toEqual([])
})
