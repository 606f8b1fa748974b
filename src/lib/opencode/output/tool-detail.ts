import {parseJson} from '../../protocol/parse.ts'

/**
 * What a tool was given, what it has printed, and what it has changed, as a diff in the unified format. `exit`: the exit
 * code of a command, if it has failed: to the agent, such a call is a success.
 */
export type ToolDetail = {input: string; output: string; diff: string; exit: number | undefined}

type Fields = Record<string, unknown>

const fieldsOf = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

/** Reads the details of a tool call from its event. Agents name the fields of their tools differently. */
export function toolDetail(event: string): ToolDetail {
  const state = fieldsOf(fieldsOf(fieldsOf(parseJson(event))['part'])['state'])
  const input = fieldsOf(state['input'])
  const metadata = fieldsOf(state['metadata'])
  const diff = textOf(metadata['diff']) || replacedText(input)
  const {exit} = metadata
  const output = diff === '' ? textOf(state['output']) : ''
  return {
    ...{input: textOf(input['command']), output, diff},
    exit: typeof exit === 'number' && exit !== 0 ? exit : undefined,
  }
}

/** A diff of a tool that replaces a text by another one, or writes a whole file. */
function replacedText(input: Fields): string {
  const before = textOf(input['oldString']) || textOf(input['old_string'])
  const after = textOf(input['newString']) || textOf(input['new_string']) || textOf(input['content'])
  if (before === '' && after === '') return ''
  const marked = (text: string, mark: string) => (text === '' ? [] : text.split('\n').map((line) => mark + line))
  return [...marked(before, '-'), ...marked(after, '+')].join('\n')
}
