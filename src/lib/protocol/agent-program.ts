/** The program that runs a task which names none. Every worker has it. */
export const defaultProgram = 'opencode'

/** The capability that tells that a worker has an agent begins with this. */
export const agentPrefix = 'agent:'

/** The agent that a task names in its metadata besides the default. Ours; the existing server and worker ignore it. */
export function programOf(metadata: Readonly<Record<string, unknown>>): string | undefined {
  const name = metadata['agent_program']
  return typeof name === 'string' && name !== '' && name !== defaultProgram ? name : undefined
}

/** Names what runs a task, for people: the program, unless it is the default, and its mode, unless it is the usual one. */
export function agentLabel(program: string | undefined, mode: string): string {
  if (program === undefined || program === defaultProgram) return mode
  return mode === 'build' ? program : `${program}, mode ${mode}`
}
