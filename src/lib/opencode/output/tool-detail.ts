import {parseJson} from '../../protocol/parse.ts'

/** What a tool was given, what it has printed, and what it has changed, as a diff in the unified format. */
export type ToolDetail = {input: string; output: string; diff: string}

type Fields = Record<string, unknown>

const fieldsOf = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

/** Reads the details of a tool call from its event. Agents name the fields of their tools differently. */
export function toolDetail(event: string): ToolDetail {
  const state = fieldsOf(fieldsOf(fieldsOf(parseJson(event))['part'])['state'])
  const input = fieldsOf(state['input'])
  const diff = textOf(fieldsOf(state['metadata'])['diff']) || replacedText(input)
  const output = diff === '' ? textOf(state['output']) : ''
  return {input: textOf(input['command']), output, diff}
}

/** A diff of a tool that replaces a text by another one. */
function replacedText(input: Fields): string {
  const before = textOf(input['oldString']) || textOf(input['old_string'])
  const after = textOf(input['newString']) || textOf(input['new_string'])
  if (before === '' && after === '') return ''
  const marked = (text: string, mark: string) => (text === '' ? [] : text.split('\n').map((line) => mark + line))
  return [...marked(before, '-'), ...marked(after, '+')].join('\n')
}
