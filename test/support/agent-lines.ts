/** Lines as `opencode run --format json` prints them, and shell commands that print them. */

type Fields = Record<string, unknown>

export const session = 'ses_1'

const line = (type: string, rest: Fields) => JSON.stringify({type, timestamp: 1, sessionID: session, ...rest})

const tokens = {total: 12, input: 10, output: 2, reasoning: 1, cache: {read: 3, write: 4}}

export const stepStart = () => line('step_start', {part: {type: 'step-start'}})

export const text = (text: string, messageID = 'msg_1', rest: Fields = {}) =>
  line('text', {part: {type: 'text', messageID, text, ...rest}})

export const finish = (reason = 'stop') => line('step_finish', {part: {type: 'step-finish', reason, tokens, cost: 0.5}})

export const tool = (tool: string, state: Fields) => line('tool_use', {part: {type: 'tool', tool, state}})

export const error = (name: string, message: string) => line('error', {error: {name, data: {message}}})

/** The shell command that prints these lines. */
export const printing = (...lines: string[]) => `cat <<'END'\n${lines.join('\n')}\nEND\n`

/** A complete successful run, as a script of the stub agent. */
export const answering = (answer: string) => printing(stepStart(), text(answer), finish())
