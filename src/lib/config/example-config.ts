import {settingKeys, settingDefinition} from './settings.ts'

/** A configuration file to begin with: what only its owner knows, and every setting that has a default. */
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
