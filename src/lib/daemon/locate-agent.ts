import {mkdirSync, realpathSync} from 'node:fs'
import {homedir} from 'node:os'
import {join} from 'node:path'
import type {Environment} from '../config/file.ts'
import type {Config} from '../config/settings.ts'
import {agentEnvironment} from '../opencode/environment.ts'
import {locateOpenCode, type OpenCodeLocation} from '../opencode/locate.ts'

export type LocateOptions = {
  config: Config
  /** Folder of this program. */
  root: string
  env: Environment
  stateDir: string
}

/** OpenCode as it is configured, or found. */
export type Agent = OpenCodeLocation & {
  /** For short-lived files. */
  scratch: string
  /** The environment in which it is asked things, in a directory. */
  agentEnv: (cwd: string) => Record<string, string>
}

/** Throws ExpectedError (78) where there is none. */
export function locateAgent({config, root, env, stateDir}: LocateOptions): Agent {
  const found = locateOpenCode({
    explicit: config.opencode_bin === undefined ? undefined : {path: config.opencode_bin, source: 'opencode_bin'},
    env,
    home: env['HOME'] || homedir(),
    projectRoot: root,
  })
  const scratchDir = join(stateDir, 'scratch')
  mkdirSync(scratchDir, {recursive: true, mode: 0o700})
  const scratch = realpathSync(scratchDir)
  const {env_allow: allow, permissions} = config
  const agentEnv = (cwd: string) =>
    agentEnvironment({base: env, cwd, tmpDir: scratch, marker: 'probe', allow, permissions})
  return {...found, scratch, agentEnv}
}
