/**
 * File names in a run's folder. `report`: what our plugin for OpenCode reports. `group`: the path of the run's control
 * group. `pid`: that of the agent, where it has one. `refused`: a report that the control plane refused for good.
 * `stdin`, `messages` and `sent`: of an agent that speaks the Agent Client Protocol: the named pipe that it reads, what
 * it prints, and what it was told. Its `stdout` is folded from its messages. `exit`: the exit code of a command.
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
  stdin: 'stdin',
  messages: 'messages.ndjson',
  sent: 'sent.ndjson',
  exit: 'exit',
} as const
