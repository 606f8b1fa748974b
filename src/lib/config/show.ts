import type {Resolved} from './resolve.ts'
import {envNames, settingKeys, settingDefinition, type SettingKey} from './settings.ts'

export type ListedSetting = {key: SettingKey; value: unknown; source: string}

const mask = '********'

/** All settings with the source of each value. Secrets are masked, also inside URLs. */
export const listSettings = ({config, sources}: Resolved): ListedSetting[] =>
  settingKeys.map((key) => ({key, value: maskSecret(key, config[key]), source: sources[key]}))

function maskSecret(key: SettingKey, value: unknown): unknown {
  if (value === undefined) return null
  if (!settingDefinition(key).secret) return value
  // Only the password of a URL is secret.
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined
  if (url?.host) return value === maskUrl(url) ? value : maskUrl(url)
  return mask
}

function maskUrl(url: URL): string {
  const copy = new URL(url)
  if (copy.password) copy.password = mask
  return copy.href
}

/** JSON Schema (draft 2020-12) of the configuration file. */
export function configSchema(): Record<string, unknown> {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Configuration of a2a-worker',
    type: 'object',
    properties: Object.fromEntries(settingKeys.map((key) => [key, settingSchema(key)])),
    patternProperties: {'^[$_]': {}},
    additionalProperties: false,
  }
}

const codebaseSchema = {
  oneOf: [
    {type: 'string', description: 'NAME:PATH or PATH'},
    {
      type: 'object',
      properties: {name: {type: 'string'}, path: {type: 'string'}, description: {type: 'string'}},
      required: ['path'],
    },
  ],
}

function settingSchema(key: SettingKey): Record<string, unknown> {
  const setting = settingDefinition(key)
  const common = {
    description: `${setting.description} (environment: ${envNames(key).join(', ')})`,
    ...(setting.default === undefined ? {} : {default: setting.default}),
  }
  switch (setting.type) {
    case 'integer':
    case 'number':
      return {
        ...common,
        type: setting.type,
        ...(setting.minimum === undefined ? {} : {minimum: setting.minimum}),
        ...(setting.maximum === undefined ? {} : {maximum: setting.maximum}),
      }
    case 'boolean':
      return {...common, type: setting.type}
    case 'object':
      return setting.words === undefined
        ? {...common, type: setting.type}
        : {...common, type: [setting.type, 'string'], anyOf: [{type: setting.type}, {enum: [...setting.words]}]}
    case 'list':
    case 'paths':
      return {...common, type: 'array', items: {type: 'string', minLength: 1}}
    case 'command':
      return {
        ...common,
        type: ['string', 'array'],
        minLength: 1,
        items: {type: 'string'},
        minItems: 1,
      }
    case 'codebases':
      return {...common, type: 'array', items: codebaseSchema}
    case 'path':
      return {...common, type: 'string', minLength: 1}
    case 'string':
      return {...common, type: 'string', minLength: 1, ...(setting.options ? {enum: [...setting.options]} : {})}
  }
}
