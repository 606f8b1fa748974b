import {expect, test} from 'vitest'
import {OutputReader, type OutputItem} from '../../../../src/lib/opencode/output/output-items.ts'
import {outputHtml} from '../../../../src/lib/server/page/views/output.tsx'
import {error, text, tool} from '../../../support/agent-lines.ts'

function itemsOf(...lines: string[]): OutputItem[] {
  const items: OutputItem[] = []
  const reader = new OutputReader((item) => items.push(item))
  reader.add({output: `${lines.join('\n')}\n`, attempt: 1})
  return items
}
const render = (...lines: string[]) => outputHtml(itemsOf(...lines), {taskId: 't', isTail: false})

test('texts, calls of tools with what they did, errors and other lines are shown in their order', () => {
  const call = tool('bash', {status: 'completed', title: 'Lists', input: {command: 'ls -l'}, output: 'a.txt'})
  const html = render(text('Hello'), call, error('Oops', 'it broke'), 'one', 'two')
  const order = [
    'Hello',
    '<b>bash</b> <bdi>Lists</bdi>',
    'ls -l',
    'a.txt',
    'it broke',
    '<pre class="lines">one\ntwo</pre>',
  ]
  const places = order.map((part) => html.indexOf(part))
  expect(places).not.toContain(-1)
  expect(places).toEqual(places.toSorted((a, b) => a - b))
})

test('the diff of an edit is shown, also where the tool tells only what it has replaced', () => {
  const state = {status: 'completed', title: 'a'}
  expect(render(tool('edit', {...state, metadata: {diff: '@@ -1 +1 @@\n-a\n+b'}}))).toContain(
    '<span class="removed">-a\n</span><span class="added">+b\n</span>',
  )
  expect(render(tool('Edit', {...state, input: {old_string: 'x\ny', new_string: 'z'}}))).toContain(
    '<span class="removed">-x\n-y\n</span><span class="added">+z\n</span>',
  )
})

test('a command that has failed shows its exit code, and a file that was written its content', () => {
  const failed = tool('bash', {status: 'completed', title: 'npm test', output: 'no', metadata: {exit: 2}})
  expect(render(failed)).toContain('exit code 2')
  expect(render(tool('bash', {status: 'completed', title: 'ls', metadata: {exit: 0}}))).not.toContain('exit code')
  const written = tool('write', {status: 'completed', title: 'a', input: {filePath: 'a', content: 'one\ntwo'}})
  expect(render(written)).toContain('<span class="added">+one\n+two\n</span>')
})

test('however much there is, the HTML stays small and has the newest', () => {
  const html = render(...Array.from({length: 5000}, (_, n) => text(`${'&'.repeat(200)} text ${n}`)))
  expect(html.length).toBeLessThan(125_000)
  expect(html).toContain('text 4999')
  expect(html).toContain('There is more output before this.')
  const lines = render(...Array.from({length: 50_000}, (_, n) => `line ${n}`))
  expect(lines.length).toBeLessThan(140_000)
  expect(lines).toContain('line 49999')
})

test('one text that is too long is cut, and says where the rest is', () => {
  const html = render(text('y'.repeat(50_000)))
  expect(html.length).toBeLessThan(13_000)
  expect(html).toContain('href="ui/tasks/t/output"')
})
