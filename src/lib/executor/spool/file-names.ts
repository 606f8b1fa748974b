/**
 * File names in a run's folder. `report`: what our plugin for OpenCode reports. `group`: the path of the run's control
 * group. `pid`: that of the agent, where it has one. `refused`: a report that the control plane refused for good.
 */
export const runFiles = {
  prompt: 'prompt',
  stdout: 'stdout.ndjson',
  stderr: 'stderr.log',
  report: 'report.ndjson',
  tmp: 'tmp',
  group: 'cgroup',
  pid: 'pid',
  refused: 'refused.json',
} as const
