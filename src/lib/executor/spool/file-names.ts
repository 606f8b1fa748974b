/** File names in a run's folder. `report`: what our plugin for OpenCode reports. `refused`: a report that the control plane refused for good. */
export const runFiles = {
  prompt: 'prompt',
  stdout: 'stdout.ndjson',
  stderr: 'stderr.log',
  report: 'report.ndjson',
  tmp: 'tmp',
  refused: 'refused.json',
} as const
