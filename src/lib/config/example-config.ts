import {settingKeys, settingDefinition} from './settings.ts'

/** An example configuration file: sample values for a machine, and every setting that has a default. */
export function exampleConfig(): Record<string, unknown> {
  const defaults = settingKeys
    .map((key) => [key, settingDefinition(key)] as const)
    .filter(([, setting]) => setting.default !== undefined && setting.type !== 'codebases')
    .map(([key, setting]) => [key, setting.default])
  return {
    server_url: 'https://plane.example',
    worker_name: 'build-box',
    codebases: [{name: 'api', path: '/srv/api', description: 'The public API'}],
    ...Object.fromEntries(defaults),
  }
}
