import {expect, test} from 'vitest'
import * as v from 'valibot'
import {ControlPlaneClient} from '../../../src/lib/client/control-plane.ts'
import {taskSchema} from '../../../src/lib/protocol/schemas.ts'
import type {Progress, StatusLine} from '../../../src/lib/ui/text/status-line.ts'
import {taskProgress} from '../../../src/lib/ui/text/task-progress.ts'

test('a task that is assigned and not confirmed is shown with its worker, as one that waits', async () => {
  await using client = new ControlPlaneClient({baseUrl: 'http://127.0.0.1:9'})
  const shown: Progress[] = []
  const line: Pick<StatusLine, 'show'> = {show: (progress) => void shown.push(progress)}
  const show = taskProgress(line as StatusLine, client)
  const task = v.parse(taskSchema, {id: 't', status: 'assigned', worker_id: 'w', waiting: 'assigned to box'})
  show(task)
  show({...task, waiting: null})
  expect(shown).toEqual([{text: 'assigned to box'}, {text: 'assigned to a worker'}])
})
