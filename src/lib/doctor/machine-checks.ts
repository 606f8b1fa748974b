import {accessSync, constants, statfsSync} from 'node:fs'
import {execa} from 'execa'
import {formatBytes} from '../core/text/format-bytes.ts'
import {freeBytes} from '../core/disk/free-space.ts'
import {ExpectedError, messageOf} from '../core/errors.ts'
import {makePrivateDirectory} from '../config/state-directory.ts'
import {chooseContainment} from '../executor/processes/containment.ts'
import {containmentTexts} from '../protocol/containment.ts'
import {initFix, initProblem} from '../executor/processes/init-process.ts'
import {allowedVariables} from '../agents/installed-agents.ts'
import {installCommand} from '../opencode/program/locate.ts'
import {localOpenCode} from '../opencode/program/local-opencode.ts'
import {probeOpenCode, unsafeRun} from '../opencode/program/probe.ts'
import {withheldVariables} from '../opencode/program/withheld.ts'
import {ok, problem, warning, type Finding, type MachineContext} from './finding.ts'

const mib = 1024 ** 2
const unit = 'a2a-agent-worker'

/** Checks that OpenCode is installed, starts, and finds the programs it needs. */
export async function checkOpenCode(machine: MachineContext): Promise<Finding[]> {
  const check = 'OpenCode'
  try {
    const ask = localOpenCode(machine)
    const probe = await probeOpenCode(ask.binary, ask.env(ask.directory), {user: ask.user})
    const {version, warnings} = probe
    const unsafe = machine.config.executor === 'acp' ? undefined : unsafeRun(probe)
    return [
      ...(unsafe ? [problem(check, unsafe.problem, unsafe.fix)] : []),
      ok(check, `${version} at ${ask.binary} (${ask.source})`),
      ...warnings.map((text) => warning(check, text, fixForWarning(text))),
    ]
  } catch (error) {
    if (!(error instanceof ExpectedError)) throw error
    return [problem(check, error.message, ...error.suggestions)]
  }
}

const fixForWarning = (text: string) =>
  text.includes('`rg`') ? 'apt-get install ripgrep' : text.includes('`git`') ? 'apt-get install git' : installCommand

/** A malformed setting is a finding of another check. */
function allowed(config: MachineContext['config'], env: MachineContext['env']): readonly string[] {
  try {
    return allowedVariables(config.agents, env, config.env_allow)
  } catch {
    return config.env_allow
  }
}

/** Names variables that agents usually need and do not get. */
export async function checkEnvironment({env, config}: MachineContext): Promise<Finding[]> {
  const names = withheldVariables(env, allowed(config, env))
  return names.length === 0
    ? []
    : [
        warning(
          'environment',
          `agents do not get ${names.join(', ')}`,
          `Name them in the setting env_allow: a2a-worker config set env_allow ${[...config.env_allow, ...names].join(',')}`,
        ),
      ]
}

/** Checks that the state directory is writable and has enough free space. */
export async function checkState({stateDir, config}: MachineContext): Promise<Finding[]> {
  const check = 'state'
  try {
    makePrivateDirectory(stateDir)
    accessSync(stateDir, constants.W_OK)
  } catch (error) {
    const message = error instanceof ExpectedError ? error.message : `${stateDir}: ${messageOf(error)}`
    return [problem(check, message, `chown -R "$USER" ${stateDir}`, 'Or choose another directory with A2A_STATE_DIR.')]
  }

  const free = freeBytes(statfsSync(stateDir))
  const minimum = config.min_free_disk * mib
  const fix = 'Free space on that disk, or lower keep_runs_mb or min_free_disk.'
  const only = `only ${formatBytes(free)} free for ${stateDir}`
  const limit = `below ${formatBytes(minimum)} (min_free_disk) the worker takes no tasks`
  if (free < minimum) return [problem(check, `${only}; ${limit}`, fix)]
  if (free < 2 * minimum) return [warning(check, `${only}; ${limit}`, fix)]
  return [ok(check, `${stateDir}, ${formatBytes(free)} free`)]
}

/** Checks that a worker runs here, for the configured server, and is connected. */
export async function checkWorker({local, server}: MachineContext): Promise<Finding[]> {
  const check = 'worker'
  if (local.length === 0) return [await explainNoWorker()]
  return local.map((worker) => {
    const where = `${worker.name} (pid ${worker.pid}), ${worker.phase}, ${worker.link} to ${worker.server}`
    if (server !== null && worker.server !== server)
      return problem(
        check,
        `${where}, but the configured server is ${server}`,
        `Set A2A_SERVER_URL=${server} for the worker (for the service in /etc/a2a-worker/env), and restart it.`,
      )
    if (worker.link === 'down')
      return problem(check, `${where}: it cannot reach its server`, 'See the checks of the server below.')
    if (worker.link === 'poll')
      return warning(
        check,
        `${where}: its task stream is blocked, so tasks start seconds later`,
        'Let the proxy pass text/event-stream unbuffered (nginx: proxy_buffering off).',
      )
    return worker.codebases.length > 0
      ? ok(check, where)
      : problem(check, `${where}: it serves no codebase`, 'a2a-worker register /path/to/code')
  })
}

/** Says what keeps the processes of a run together: for the workers of this machine, or for one that would start here. */
export async function checkContainment({local, config, env}: MachineContext): Promise<Finding[]> {
  const check = 'runs'
  const known = local.flatMap(({name, containment}) =>
    containment ? [`${name}: ${containmentTexts[containment]}`] : [],
  )
  if (known.length > 0) return known.map((text) => ok(check, text))
  return [ok(check, containmentTexts[chooseContainment(config.run_containment, env).kind])]
}

/** Checks that process 1 reaps the processes that agents leave behind. */
export async function checkInit(): Promise<Finding[]> {
  const wrong = initProblem()
  return wrong === undefined ? [] : [warning('init', wrong, initFix)]
}

/** Explains why no worker runs, from the state of the service if one is installed. */
async function explainNoWorker(): Promise<Finding> {
  const check = 'worker'
  const start = 'Start one where the code is: a2a-worker start, or sudo systemctl start a2a-agent-worker.'
  const state = await execa('systemctl', ['show', unit, '--property=LoadState,ActiveState,Result,ExecMainStatus'], {
    cwd: '/',
    reject: false,
    timeout: 5000,
  })
  const properties = new Map(
    state.failed ? [] : state.stdout.split('\n').map((line) => line.split('=') as [string, string]),
  )
  if (properties.get('LoadState') !== 'loaded')
    return problem(check, 'no worker runs on this machine for this user', start)
  const active = properties.get('ActiveState') ?? 'unknown'
  if (active === 'active') return ok(check, `the service ${unit} is active (of another user)`)
  return problem(
    check,
    `the service ${unit} is ${active} (${properties.get('Result')}, exit code ${properties.get('ExecMainStatus')})`,
    `sudo journalctl -u ${unit} -n 50`,
    `sudo systemctl restart ${unit}`,
  )
}
