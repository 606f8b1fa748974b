import {appendFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {type FollowOptions, follow} from '../../../src/lib/executor/spool/follow.ts'
import {scratchFolder} from '../../support/scratch.ts'
import {waitFor} from '../../support/wait-for.ts'

/** Follows a new file until disposed, and collects the pieces. */
function following(rest: Partial<FollowOptions> = {}, content = '') {
  const scratch = scratchFolder()
  const path = join(scratch.path, 'spool')
  writeFileSync(path, content)
  const ended = new AbortController()
  const left = new AbortController()
  const pieces: {offset: number; text: string}[] = []
  const over = (async () => {
    const options = {path, from: 0, maxBytes: 1024, ended: ended.signal, signal: left.signal, ...rest}
    for await (const {offset, bytes} of follow(options)) pieces.push({offset, text: bytes.toString()})
  })()
  return {
    pieces,
    ended,
    left,
    over,
    text: () => pieces.map(({text}) => text).join(''),
    append: (text: string) => appendFileSync(path, text),
    async [Symbol.asyncDispose]() {
      left.abort()
      await over
      scratch[Symbol.dispose]()
    },
  }
}

test('yields the existing content, then appended content, each piece with its offset', async () => {
  await using file = following({}, 'abc')
  await waitFor(() => file.text() === 'abc', 'the content')
  file.append('de')
  await waitFor(() => file.text() === 'abcde', 'what was added')
  expect(file.pieces.at(-1)).toEqual({offset: 3, text: 'de'})
})

test('begins at the given offset', async () => {
  await using file = following({from: 2}, 'abc')
  await waitFor(() => file.pieces[0], 'a piece')
  expect(file.pieces).toEqual([{offset: 2, text: 'c'}])
})

test('reads to the end after the writer has ended, then stops', async () => {
  await using file = following()
  const text = 'x'.repeat(10_000)
  file.append(text)
  file.ended.abort()
  await file.over
  expect(file.text()).toBe(text)
  expect(Math.max(...file.pieces.map((piece) => piece.text.length))).toBe(1024)
})

test('stops at once when aborted, also before anything was written', async () => {
  await using file = following()
  file.left.abort()
  await file.over
  expect(file.pieces).toEqual([])
})

test('many small writes are read together', async () => {
  await using file = following({maxBytes: 65_536})
  for (let i = 0; i < 2000; i++) file.append('line\n')
  await waitFor(() => file.text().length === 10_000, 'all lines')
  expect(file.pieces.length).toBeLessThan(200)
})

test('on request yields complete lines only, except for a longer line and for the end', async () => {
  await using file = following({yieldPartial: false, maxBytes: 8}, 'a\nb')
  await waitFor(() => file.pieces[0], 'the first line')
  file.append('c\n')
  await waitFor(() => file.pieces[1], 'the second line')
  file.append('0123456789')
  file.ended.abort()
  await file.over
  expect(file.pieces.map(({text}) => text)).toEqual(['a\n', 'bc\n', '01234567', '89'])
  expect(file.pieces.map(({offset}) => offset)).toEqual([0, 2, 5, 13])
})

test('uses one buffer for all pieces', async () => {
  using scratch = scratchFolder()
  const path = join(scratch.path, 'spool')
  writeFileSync(path, 'aabb')
  const buffers = new Set<ArrayBufferLike>()
  const signal = new AbortController().signal
  for await (const {bytes} of follow({path, from: 0, maxBytes: 2, ended: AbortSignal.abort(), signal}))
    buffers.add(bytes.buffer)
  expect(buffers.size).toBe(1)
})

test('rejects if the file does not exist', async () => {
  const signal = new AbortController().signal
  const pieces = follow({path: '/nowhere/spool', from: 0, maxBytes: 2, ended: signal, signal})
  await expect(pieces.next()).rejects.toMatchObject({code: 'ENOENT'})
})
