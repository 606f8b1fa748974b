import {expect, test} from 'vitest'
import {memoryCounters} from '../../../src/lib/executor/processes/out-of-memory.ts'

test('kills for memory are counted in the group of the process, of cgroup v1 or v2, or else in the machine', () => {
  const own = '/system.slice/a2a-agent-worker.service'
  expect(memoryCounters(`0::${own}\n`)).toEqual([
    `/sys/fs/cgroup${own}/memory.events`,
    '/sys/fs/cgroup/memory.events',
    '/proc/vmstat',
  ])
  expect(memoryCounters(`9:name=systemd:/\n4:cpu,memory:${own}\n0::/\n`).slice(0, 2)).toEqual([
    `/sys/fs/cgroup/memory${own}/memory.oom_control`,
    '/sys/fs/cgroup/memory/memory.oom_control',
  ])
  expect(memoryCounters('')).toEqual(['/proc/vmstat'])
})
