import {installedAgents} from '../agents/installed-agents.ts'
import {ExpectedError} from '../core/errors.ts'
import {ok, problem, warning, type Finding, type MachineContext} from './finding.ts'

/** Names the agents besides OpenCode that tasks can name, and those of the setting that are not installed. */
export async function checkAgents({config, env}: MachineContext): Promise<Finding[]> {
  const check = 'agents'
  try {
    const {installed, missing} = installedAgents(config.agents, env)
    const found = installed.map(({name, binary, permissions, kind}) => {
      const asks = kind === 'acp' && permissions !== 'allow' ? `, permissions: ${permissions}` : ''
      return ok(check, `${name} at ${binary}${asks}`)
    })
    const lacking = missing.map(({name, command, install}) =>
      warning(
        check,
        `${name} is in the setting agents, but ${command[0]} was not found on PATH`,
        install ?? `Install ${command[0]}, or correct the command in the setting agents`,
      ),
    )
    return [...found, ...lacking]
  } catch (error) {
    if (!(error instanceof ExpectedError)) throw error
    return [problem(check, error.message, ...error.suggestions, 'a2a-worker config show agents')]
  }
}
