import {homedir} from 'node:os'
import {basename, isAbsolute, join, resolve} from 'node:path'
import {isDeeper, parseJson} from '../protocol/parse.ts'
import {maxDepth} from './file.ts'
import type {Command, ConfiguredCodebase, SettingKey} from './settings.ts'
import {settingDefinition} from './settings.ts'

/** A value that a setting does not accept. The message fits after `<key> (<source>): `. */
export class InvalidValueError extends Error {}

export type PathOrigin = {
  /** Relative paths are resolved against this directory. Undefined if it has been deleted. */
  directory: string | undefined
  home?: string
}

/**
 * Converts a value from a flag, a variable or a file to the type of the setting. Every type accepts text, because a
 * variable is always text. Lists and codebases in text are separated by commas. Throws InvalidValueError.
 */
export function readValue(key: SettingKey, raw: unknown, origin: PathOrigin): unknown {
  const setting = settingDefinition(key)
  switch (setting.type) {
    case 'string':
      return readString(raw, setting.options)
    case 'path':
      return setting.words?.some((word) => word === raw) ? raw : readPath(raw, origin)
    case 'integer':
      return readInteger(raw, setting.minimum ?? 0, setting.maximum ?? Number.MAX_SAFE_INTEGER)
    case 'number':
      return readNumber(raw, setting.minimum ?? 0, setting.maximum ?? Number.MAX_VALUE)
    case 'boolean':
      if (raw === true || raw === 'true' || raw === '1') return true
      if (raw === false || raw === 'false' || raw === '0') return false
      throw new InvalidValueError(`must be true or false, not ${quote(raw)}`)
    case 'list':
      return readList(raw)
    case 'paths':
      return readList(raw).map((path) => readPath(path, origin))
    case 'object':
      return setting.words?.some((word) => word === raw) ? raw : readObject(raw)
    case 'command':
      return readCommand(raw)
    case 'codebases':
      return (typeof raw === 'string' ? splitList(raw) : asArray(raw)).map((item) => readCodebase(item, origin))
  }
}

const maxQuotedChars = 200

/** The value as JSON for a message. A long value is truncated. */
function quote(raw: unknown): string {
  const text = JSON.stringify(raw)
  return text.length > maxQuotedChars ? `${text.slice(0, maxQuotedChars)}…` : text
}

function readString(raw: unknown, options?: readonly string[]): string {
  if (typeof raw !== 'string' || raw.trim() === '') throw new InvalidValueError(`must be a text, not ${quote(raw)}`)
  const value = raw.trim()
  if (options && !options.includes(value))
    throw new InvalidValueError(`must be one of ${options.join(', ')}, not ${quote(raw)}`)
  return value
}

function readInteger(raw: unknown, minimum: number, maximum: number): number {
  const value = typeof raw === 'string' && /^\s*-?\d+\s*$/.test(raw) ? Number(raw) : raw
  if (typeof value !== 'number' || !Number.isSafeInteger(value))
    throw new InvalidValueError(`must be a whole number, not ${quote(raw)}`)
  if (value < minimum || value > maximum)
    throw new InvalidValueError(
      maximum === Number.MAX_SAFE_INTEGER
        ? `must be at least ${minimum}, not ${value}`
        : `must be from ${minimum} to ${maximum}, not ${value}`,
    )
  return value
}

function readNumber(raw: unknown, minimum: number, maximum: number): number {
  const value = typeof raw === 'string' && raw.trim() !== '' ? Number(raw) : raw
  if (typeof value !== 'number' || Number.isNaN(value))
    throw new InvalidValueError(`must be a number, not ${quote(raw)}`)
  if (value < minimum || value > maximum)
    throw new InvalidValueError(`must be from ${minimum} to ${maximum}, not ${value}`)
  return value
}

/** Resolves a path written by a person. `~` is the home directory. Throws InvalidValueError. */
export function readPath(raw: unknown, {directory, home = homedir()}: PathOrigin): string {
  if (typeof raw !== 'string' || raw === '') throw new InvalidValueError(`must be a path, not ${quote(raw)}`)
  if (raw.includes('\0')) throw new InvalidValueError('must be a path without NUL characters')
  const expanded = raw === '~' ? home : raw.startsWith('~/') ? join(home, raw.slice(2)) : raw
  if (isAbsolute(expanded)) return resolve(expanded)
  if (directory !== undefined) return resolve(directory, expanded)
  throw new InvalidValueError(
    `must be an absolute path, not ${quote(raw)}, because the current directory has been deleted`,
  )
}

const splitList = (text: string) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')

function asArray(raw: unknown): unknown[] {
  if (!Array.isArray(raw)) throw new InvalidValueError(`must be a list, not ${quote(raw)}`)
  return raw
}

function readList(raw: unknown): string[] {
  const items = typeof raw === 'string' ? splitList(raw) : asArray(raw)
  const invalid = items.find((item) => typeof item !== 'string' || item === '')
  if (invalid !== undefined) throw new InvalidValueError(`must be a list of texts, but contains ${quote(invalid)}`)
  return items as string[]
}

/** A list in JSON, as a variable and `config set` give it. Undefined for a shell command, which may begin with `[`, too. */
function parseList(text: string): unknown[] | undefined {
  const parsed = text.trimStart().startsWith('[') ? parseJson(text) : undefined
  return Array.isArray(parsed) ? parsed : undefined
}

function readCommand(raw: unknown): Command {
  const words = typeof raw === 'string' ? parseList(raw) : asArray(raw)
  if (words === undefined) return readString(raw)
  if (words.length === 0 || !words.every((word) => typeof word === 'string' && !word.includes('\0')) || words[0] === '')
    throw new InvalidValueError(`must be a command, or a list of a program and its arguments, not ${quote(raw)}`)
  return words as string[]
}

function readObject(raw: unknown): Record<string, unknown> {
  let value = raw
  if (typeof raw === 'string') {
    try {
      value = JSON.parse(raw)
    } catch {
      throw new InvalidValueError('must be a JSON object')
    }
  }

  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InvalidValueError(`must be a JSON object, not ${quote(raw)}`)
  if (isDeeper(value, maxDepth)) throw new InvalidValueError(`must not be nested deeper than ${maxDepth} levels`)
  return value as Record<string, unknown>
}

/** Parses `NAME:PATH` (NAME contains no slash), `PATH`, or `{name?, path, description?}`. */
function readCodebase(raw: unknown, origin: PathOrigin): ConfiguredCodebase {
  if (typeof raw === 'string') {
    const [, name, rest] = /^([^/:]+):(.+)$/s.exec(raw) ?? []
    const path = readPath(rest ?? raw, origin)
    return {name: name ?? (basename(path) || path), path, description: ''}
  }

  const {name, path, description} = readObject(raw)
  if (name !== undefined && (typeof name !== 'string' || name === ''))
    throw new InvalidValueError(`a codebase's name must be a text, not ${quote(name)}`)
  if (path === undefined) throw new InvalidValueError(`a codebase needs a path: ${quote(raw)}`)
  const absolute = readPath(path, origin)
  return {
    name: name ?? (basename(absolute) || absolute),
    path: absolute,
    description: typeof description === 'string' ? description : '',
  }
}
