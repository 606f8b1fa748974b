import {expect, test} from 'vitest'
import {StatusLine} from '../../../src/lib/ui/text/status-line.ts'
import {fakeClock} from '../../support/fake-clock.ts'

/** What is written to a stream of this kind. */
function lineOn(stream: {isTTY?: boolean; columns?: number}) {
  const written: string[] = []
  const line = new StatusLine({
    stream: {...stream, write: (text: string) => written.push(text)},
    clock: fakeClock(() => {}),
  })
  return {line, written}
}

const clear = '\r\u001b[2K'

test('on a terminal a status is one line with a clock that is redrawn, also below what is printed', () => {
  const {line, written} = lineOn({isTTY: true, columns: 40})
  line.show({text: 'waiting for a worker'})
  line.show({by: 'taken by box', text: 'OpenCode is starting', forMs: 6400})
  line.print(() => written.push('hello\n'))
  line.show({by: 'taken by box', text: `running bash ${'x'.repeat(80)}`, forMs: 90_000})
  line[Symbol.dispose]()
  expect(written).toEqual([
    `${clear}waiting for a worker, 0 s`,
    `${clear}taken by box · OpenCode is starting, 6…`,
    clear,
    'hello\n',
    `${clear}taken by box · OpenCode is starting, 6…`,
    `${clear}taken by box · running bash xxxxxxxxxx…`,
    clear,
  ])
})

test('elsewhere a status is a plain line for each change', () => {
  const {line, written} = lineOn({})
  line.show({text: 'waiting for a worker'})
  line.show({by: 'taken by box', text: 'OpenCode is starting', forMs: 1000})
  line.show({by: 'taken by box', text: 'OpenCode is starting', forMs: 3000})
  line.print(() => written.push('hello\n'))
  line.show({by: 'taken by box', text: 'waiting for the model', forMs: 1000})
  line[Symbol.dispose]()
  expect(written).toEqual([
    'Waiting for a worker\n',
    'Taken by box\n',
    'OpenCode is starting\n',
    'hello\n',
    'Waiting for the model\n',
  ])
})
