import {expect, test} from 'vitest'
import {timeOfDay} from '../../../src/lib/core/text/times.ts'
import {draw, keys} from '../../support/drawn.tsx'
import {after, connected, finished, newView, noon, received, running, said} from '../../support/views.ts'

const busy = () =>
  after(
    connected(),
    ...running('aaaaaaaa-1', 'Fix the login page'),
    ...running('bbbbbbbb-2', 'Write the manual'),
    said('aaaaaaaa-1', 'read src/login.ts'),
    said('bbbbbbbb-2', 'write MANUAL.md'),
    {type: 'task.waiting', taskId: 'cccccccc-3', title: 'Later', reason: 'no slot is free'},
  )

test('the header shows the worker, its connection with time, and its tasks', async () => {
  using screen = draw(busy())
  await screen.shows('Fix the login page')
  expect(screen.lines()[0]).toMatch(new RegExp(`^ box-api running +● stream since ${timeOfDay(noon + 5000)}$`))
  expect(screen.lines()[1]).toMatch(/^ http:\/\/plane\.test +slots 2\/4 · 1 waiting · 0 done$/)
  expect(screen.lines()[2]).toBe('[1 Tasks 3] 2 Output  3 Log  4 Codebases  5 History')
  screen.emit(
    {type: 'link.changed', link: 'down', reason: 'nothing listens there'},
    {type: 'pause.changed', isPaused: true},
  )
  await screen.shows(/box-api running paused .* down since \d\d:\d\d:\d\d \(nothing listens there\)/)
})

test('tasks: active tasks, waiting tasks with reasons, and below them the latest output of the selected task', async () => {
  using screen = draw(busy())
  await screen.shows(/❯ aaaaaaaa running +[\ddh: ]+ +api +Fix the login page/)
  expect(screen.lines().join('\n')).toMatch(
    / {2}bbbbbbbb running +[\ddh: ]+ +api +Write the manual +write MANUAL\.md\n {2}cccccccc waits +[\ddh: ]+ +Later +no slot is free/,
  )
  await screen.shows(
    /── aaaaaaaa Fix the login page ─+\nrunning {2}build {2}pid 4711 {2}\/srv\/api\nread src\/login\.ts/,
  )
  await screen.press('j')
  await screen.shows(/❯ bbbbbbbb[^]*── bbbbbbbb Write the manual[^]*write MANUAL\.md/)
  await screen.press(keys.down)
  await screen.shows(/❯ cccccccc[^]*── cccccccc Later[^]*waits: no slot is free/)
  await screen.press('k', keys.up, keys.up)
  await screen.shows('❯ aaaaaaaa')
})

test('a selected task stays selected when others change; when it disappears, the next one is selected', async () => {
  using screen = draw(busy())
  await screen.press('j')
  await screen.shows('❯ bbbbbbbb')
  screen.emit({type: 'task.reported', taskId: 'aaaaaaaa-1', status: 'completed'}, received('dddddddd-4'))
  await screen.shows(/❯ bbbbbbbb[^]*dddddddd claiming/)
  screen.emit({type: 'task.reported', taskId: 'bbbbbbbb-2', status: 'completed'})
  await screen.hides('bbbbbbbb')
  expect(screen.lines().join('\n')).toMatch(/❯ (cccccccc|dddddddd)/)
})

test('what an agent does now is shown with a clock, in the list and with its output', async () => {
  const now = Date.now()
  const doing = {
    type: 'task.state',
    taskId: 'aaaaaaaa-1',
    state: 'tool',
    what: 'bash npm test',
    since: now - 62_000,
  } as const
  using screen = draw(after(connected(), ...running('aaaaaaaa-1', 'Fix it')), {columns: 120})
  await screen.shows('No output yet.')
  screen.emit({...doing, state: 'starting', what: '', since: now - 5000})
  await screen.shows(/❯ aaaaaaaa running .* Fix it +OpenCode is starting, 5 s/)
  await screen.hides('No output yet.')
  screen.emit(doing)
  await screen.shows(/❯ aaaaaaaa running .* Fix it +running bash npm test, 1:02/)
  await screen.shows(/── aaaaaaaa Fix it ─+\nrunning .*\n▸ running bash npm test, 1:02/)
  screen.emit({type: 'task.stopping', taskId: 'aaaaaaaa-1', reason: 'cancelled'})
  await screen.hides('npm test')
})

test('output: all retained lines of a task, followed until the user scrolls up, also after its end', async () => {
  const lines = Array.from({length: 100}, (_, i) => said('aaaaaaaa-1', `line ${i}`))
  using screen = draw(after(busy(), ...lines))
  await screen.press(keys.enter)
  await screen.shows(/\[2 Output\][^]*line 99\n/)
  screen.emit(said('aaaaaaaa-1', 'line 100'))
  await screen.shows('line 100')
  await screen.press(keys.up)
  await screen.hides('line 100')
  const before = screen.lines().slice(3)
  screen.emit(said('aaaaaaaa-1', 'line 101'), {type: 'pause.changed', isPaused: true})
  await screen.shows('paused')
  expect(screen.lines().slice(3, -1)).toEqual(before.slice(0, -1))
  await screen.press('g')
  await screen.shows(/read src\/login\.ts\nline 0\n/)
  await screen.press('G')
  await screen.shows('line 101')
  screen.emit(finished('aaaaaaaa-1', 'failed', 'the model was silent'))
  screen.emit({type: 'task.reported', taskId: 'aaaaaaaa-1', status: 'failed'})
  await screen.shows(/failed after 1:01, \$0\.2500 {2}\/srv\/api\nthe model was silent\n[^]*line 101/)
  await screen.press(keys.enter)
  await screen.shows('[1 Tasks')
})

test('log: lines with time, level and task; long lines are wrapped', async () => {
  const text = `It goes on ${'and on '.repeat(20)}to the end`
  using screen = draw(after(newView(), {type: 'notice', level: 'warn', text, taskId: 'aaaaaaaa-1'}))
  await screen.press('3')
  await screen.shows(new RegExp(`\\[3 Log\\][^]*\\n${timeOfDay(noon + 1000)} WARN  \\[aaaaaaaa\\] It goes on`))
  await screen.shows(/\n {15}.*to the end\n/)
})

test('codebases: served ones with their id, refused ones with the reason', async () => {
  using screen = draw(
    after(connected(), {type: 'codebase.refused', name: 'web', path: '/srv/web', reason: 'the path does not exist'}),
  )
  await screen.press('4')
  await screen.shows(/ {2}api +served +\/srv\/api \(cb1\)\n {2}web +refused +the path does not exist \/srv\/web/)
})

test('history: outcomes, newest first, with duration and the error of the selected task', async () => {
  const reported = (taskId: string) => ({type: 'task.reported', taskId, status: 'failed'}) as const
  const finishedEvents = [finished('aaaaaaaa-1'), finished('bbbbbbbb-2', 'failed', 'no model stub/fats')]
  using screen = draw(after(busy(), ...finishedEvents, reported('aaaaaaaa-1'), reported('bbbbbbbb-2')))
  await screen.press('5')
  await screen.shows(/❯ \d\d:\d\d:\d\d bbbbbbbb failed +1:01 +\$0\.2500 +Write the manual no model/)
  await screen.shows(/── bbbbbbbb Write the manual ─+\nfailed after 1:01, .*\nno model stub\/fats\nwrite MANUAL\.md/)
  await screen.press('j', keys.enter)
  await screen.shows(/\[2 Output\][^]*── aaaaaaaa Fix the login page ─+\ncompleted after 1:01[^]*read src\/login\.ts/)
  expect(screen.lines()[1]).toMatch(/1 done · 1 failed · \$0\.50$/)
})

test('tab and the arrow keys cycle through the panes', async () => {
  using screen = draw(busy())
  for (const pane of ['2 Output', '3 Log', '4 Codebases', '5 History', '1 Tasks 3']) {
    await screen.press('\t')
    await screen.shows(`[${pane}]`)
  }

  await screen.press(keys.left)
  await screen.shows('[5 History]')
  await screen.press(keys.right, '\u001b[Z', keys.escape)
  await screen.shows('[1 Tasks 3]')
})

test('cancelling asks first, for a running and for a waiting task', async () => {
  using screen = draw(busy())
  await screen.press('c')
  await screen.shows(/Cancel task aaaaaaaa \(Fix the login page\)\? +y\/n/)
  await screen.press('n')
  await screen.hides('Cancel task')
  await screen.press('c', 'x', 'y')
  await expect.poll(() => screen.done).toEqual(['cancel aaaaaaaa-1'])
  await screen.press('j', 'j', 'c')
  await screen.shows('Cancel task cccccccc (Later)?')
  await screen.press('y')
  await expect.poll(() => screen.done).toEqual(['cancel aaaaaaaa-1', 'cancel cccccccc-3'])
})

test('the empty list says how to create a task, and n creates one for a codebase that tab chooses', async () => {
  using screen = draw(
    after(connected(), {type: 'codebase.registered', codebaseId: 'cb2', name: 'web', path: '/srv/web'}),
  )
  await screen.shows('Press n to create one, or run: a2a-worker tasks create "Fix the failing test"')
  await screen.press('n', 'F', 'ix', ' it!', '\u007f')
  await screen.shows(/ New task for api \(tab: next codebase\): Fix it▏$/)
  await screen.press('\t', ' quickly and do not stop', '\r')
  await screen.shows('Created task eeeeeeee.')
  await screen.press('n', keys.escape, 'n', 'one line\nanother', '\r', 'n', 'typed\r', 'n', 'x', '\u0003')
  await expect
    .poll(() => screen.done)
    .toEqual(['create cb2 Fix it quickly and do not stop', 'create cb1 one line\nanother', 'create cb1 typed'])
  await screen.hides('New task')
})

test('a worker without a codebase creates no task', async () => {
  using screen = draw(newView())
  await screen.press('n')
  await screen.shows('No codebase is served.')
})

test('leaving asks only if a task is active', async () => {
  using idle = draw(connected())
  await idle.press('q')
  await expect.poll(() => idle.done).toEqual(['leave'])
  using screen = draw(busy())
  await screen.press('q')
  await screen.shows('Quit? The worker takes no more tasks and finishes the 2 active.')
  expect(screen.done).toEqual([])
})

test('pause, resume, drain and leave reach the worker, draining after a question', async () => {
  using screen = draw(connected())
  await screen.press('p')
  await expect.poll(() => screen.done).toEqual(['pause'])
  screen.emit({type: 'pause.changed', isPaused: true})
  await screen.shows(/Paused: the worker takes no tasks[^]*p resume/)
  await screen.press('p', 'd')
  await screen.shows(/Take no more tasks, and stop the worker/)
  await screen.press('y', 'q', '\u0003')
  await expect.poll(() => screen.done).toEqual(['pause', 'resume', 'drain', 'leave', 'leave'])
  await screen.press('\u000c', '\u001a')
  await expect.poll(() => screen.done.slice(5)).toEqual(['repaint', 'stop'])
})

test('an attached dashboard closes without a question', async () => {
  using screen = draw(connected(), {controls: {isDetachable: true}})
  await screen.shows('q close')
  await screen.press('q')
  await expect.poll(() => screen.done).toEqual(['leave'])
})

test('a failed action is reported', async () => {
  const cancel = async () => Promise.reject(new Error('task aaaaaaaa-1 does not run here'))
  using screen = draw(busy(), {controls: {cancel}})
  await screen.press('c', 'y')
  await screen.shows('task aaaaaaaa-1 does not run here')
})

test('help lists the keys, and any key closes it', async () => {
  using screen = draw(busy())
  await screen.press('?')
  await screen.shows(/↑ ↓ j k +select a task[^]*ctrl-l/)
  await screen.press('c')
  await screen.shows('❯ aaaaaaaa')
  expect(screen.done).toEqual([])
})

test('pasted text is not a command', async () => {
  using screen = draw(busy())
  await screen.press('cypydyqy and more')
  await screen.press('?')
  await screen.shows('select a task')
  expect(screen.done).toEqual([])
})

test('leaving explains its effect, and the current stop step is shown', async () => {
  using screen = draw(busy())
  screen.emit(
    {type: 'stop.requested', step: 'drain', by: 'SIGTERM', hint: 'draining: no more tasks; repeat to cancel them'},
    {type: 'phase.changed', from: 'running', to: 'draining'},
  )
  await screen.shows(/box-api draining[^]*draining: no more tasks; repeat to cancel them$/)
  await screen.press('q')
  await screen.shows('Quit sooner? The active tasks are cancelled.')
})

test.each([
  [80, 24],
  [200, 60],
  [60, 15],
  [40, 10],
  [24, 6],
])('each pane fits a terminal of %i × %i', async (columns, rows) => {
  const crowd = Array.from({length: 30}, (_, i) =>
    running(`task-${i}-${'x'.repeat(30)}`, `Task ${i} ${'long '.repeat(40)}`),
  )
  const talk = Array.from({length: 60}, (_, i) => said('aaaaaaaa-1', `${i} ${'talk '.repeat(i)}`))
  const view = after(busy(), ...crowd.flat(), ...talk, ...crowd.map((_, i) => finished(`task-${i}-${'x'.repeat(30)}`)))
  using screen = draw(view, {columns, rows})
  for (const key of ['1', '2', '3', '4', '5', '?', '?', '1', 'c', 'n']) {
    await screen.press(key)
    await screen.shows(/\d/.test(key) ? `[${key} ` : 'slots 2/4')
    screen.fits(columns, rows)
    expect(screen.lines()).toHaveLength(rows)
  }
})

test('a terminal that is too small shows a message, and is drawn again when it grows', async () => {
  using screen = draw(busy(), {columns: 20, rows: 4})
  await screen.shows('The terminal is to')
  screen.resize(60, 15)
  await screen.shows('❯ aaaaaaaa')
  screen.fits(60, 15)
})

test('titles and output cannot break the screen, whatever characters they contain', async () => {
  const wicked = '\u001b[2J\u001b[31m日本語\u0007\r\n👩‍👩‍👧‍👦 \u202egnorw\u0000 ' + '漢字'.repeat(100)
  const view = after(
    connected(),
    ...running('aaaaaaaa-1', wicked),
    said('aaaaaaaa-1', wicked, `${wicked}\n${wicked}`),
    {type: 'task.waiting', taskId: 'cccccccc-3', title: wicked, reason: wicked},
    {type: 'codebase.refused', name: wicked, path: wicked, reason: wicked},
    {type: 'notice', level: 'warn', text: wicked, taskId: wicked},
    {type: 'link.changed', link: 'poll', reason: wicked},
    finished('aaaaaaaa-1', 'failed', wicked),
  )
  using screen = draw(view)
  for (const key of ['1', '2', '3', '4', '5']) {
    await screen.press(key)
    await screen.shows('日本語')
    screen.fits(80, 24)
    expect(screen.lines()).toHaveLength(24)
  }
})

test('a thousand events a second are drawn about ten times a second; without events nothing is drawn', async () => {
  using screen = draw(busy())
  await screen.shows('aaaaaaaa')
  const before = screen.frames.length
  const begun = performance.now()
  for (let i = 0; i < 1000; i++) {
    screen.emit(said('aaaaaaaa-1', `line ${i}`))
    if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 8))
  }

  await screen.shows('line 999')
  const seconds = (performance.now() - begun) / 1000
  // Plus one redraw a second for the durations.
  expect((screen.frames.length - before) / seconds).toBeLessThan(13)
})

test('an empty task list says why it is empty', async () => {
  using screen = draw(after(newView(), {type: 'phase.changed', from: 'idle', to: 'starting'}))
  await screen.shows('Starting.')
  screen.emit({type: 'startup.changed', step: 'asking OpenCode for its version', at: Date.now()} as never)
  await screen.shows(/History\n\n {2}Starting: asking OpenCode for its version, \d s/)
  screen.emit({type: 'notice', level: 'warn', text: 'nothing listens there. Trying again.'})
  await screen.shows(/ {2}Starting: asking .*\n {2}nothing listens there\. Trying again\./)
  screen.emit({type: 'phase.changed', from: 'starting', to: 'running'})
  await screen.shows('No codebase is served')
  screen.emit({type: 'codebase.registered', codebaseId: 'cb1', name: 'api', path: '/srv/api'})
  await screen.shows('No active and no waiting tasks.')
  screen.emit({type: 'phase.changed', from: 'running', to: 'draining'})
  await screen.shows('All tasks have ended.')
})

test('without active tasks and events nothing is drawn', async () => {
  using screen = draw(connected())
  await screen.shows('No active and no waiting tasks.')
  await expect.poll(() => screen.frames.length).toBe(2) // the second has the requested size
  const before = screen.frames.length
  await new Promise((resolve) => setTimeout(resolve, 1500))
  expect(screen.frames.length).toBe(before)
})

const question = (id: string, title: string) => ({
  ...{id, kind: 'permission' as const, title, since: noon, until: null},
  options: [
    {id: 'once', name: 'Allow once', kind: 'allow_once' as const},
    {id: 'no', name: 'Reject', kind: 'reject_once' as const},
  ],
})
const asks = (taskId: string, ...questions: ReturnType<typeof question>[]) =>
  ({type: 'task.questions', taskId, questions}) as const

test('a task that asks is marked; a answers it by an option, or by a text', async () => {
  using screen = draw(busy(), {columns: 150})
  await screen.shows('❯ aaaaaaaa')
  await screen.press('a')
  await screen.shows('No task asks anything.')
  screen.emit(asks('bbbbbbbb-2', question('7', 'bash rm -r build')))
  await screen.shows(/bbbbbbbb asks .*asks for a permission: bash rm -r build/)
  await screen.press('a')
  await screen.shows(/ bash rm -r build +1 Allow once · 2 Reject · t text · esc/)
  await screen.press('9', '1')
  await screen.shows('The agent has it.')
  await screen.press('a', 't')
  await screen.shows(/Answer to bash rm -r build: ▏/)
  await screen.press(...'no, q', keys.enter)
  await expect.poll(() => screen.done).toEqual(['say bbbbbbbb-2 7 once null', 'say bbbbbbbb-2 7 null no, q'])
  screen.emit(asks('bbbbbbbb-2'))
  await screen.shows('bbbbbbbb running')
  await screen.press('a', keys.escape)
  expect(screen.done).toHaveLength(2)
})

test('s says something to the selected task; escape leaves it', async () => {
  using screen = draw(busy())
  await screen.press('j')
  await screen.shows('❯ bbbbbbbb')
  await screen.press('s', ...'hey', keys.escape)
  await screen.press('s', ...'And the docs')
  await screen.shows('Say to bbbbbbbb: And the docs▏')
  await screen.press(keys.enter)
  await expect.poll(() => screen.done).toEqual(['say bbbbbbbb-2 null null And the docs'])
  screen.fits(80, 24)
})
