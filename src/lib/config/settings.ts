/**
 * The one list of settings. Keys are the names in the configuration file; types, environment names, flags, the JSON
 * schema and the documentation all follow from it.
 */
type Base = {
  description: string
  /** Long name of the command-line flag, and its letter. None: file and environment only. */
  flag?: string
  char?: string
  /** Further environment names, after `A2A_<KEY>`. */
  env?: readonly string[]
  /** Masked wherever it is shown. */
  secret?: true
  /** A worker that runs takes a change up when it is told to (SIGHUP); any other setting waits for its next start. */
  live?: true
}

type Setting = Base &
  (
    | {type: 'string'; default?: string; options?: readonly string[]}
    | {type: 'path'; default?: string; /** Taken as they are. */ words?: readonly string[]}
    | {type: 'integer'; default?: number; minimum?: number; maximum?: number}
    | {type: 'number'; default?: number; minimum?: number; maximum?: number}
    | {type: 'boolean'; default?: boolean}
    | {type: 'list'; default?: readonly string[]}
    | {type: 'paths'; default?: readonly string[]}
    | {type: 'object'; default?: undefined}
    | {type: 'codebases'; default?: readonly ConfiguredCodebase[]}
  )

/** A codebase as configured; `path` is absolute once resolved. */
export type ConfiguredCodebase = {name: string; path: string; description: string}

export const settings = {
  server_url: {type: 'string', description: 'Control plane to work for', flag: 'server', char: 's'},
  auth_token: {type: 'string', description: 'Bearer token for the control plane', secret: true, live: true},
  auth_token_file: {type: 'path', description: 'File that holds the token (mode 0600)', live: true},
  worker_name: {type: 'string', description: 'Name of this worker', flag: 'name', char: 'n'},
  worker_id: {
    type: 'string',
    description: 'Worker id (default: made once and kept in the state directory)',
    flag: 'worker-id',
  },
  codebases: {
    type: 'codebases',
    description: 'Codebase to serve, NAME:PATH or PATH; repeatable',
    flag: 'codebase',
    char: 'b',
    default: [],
    live: true,
  },
  global_codebase: {
    type: 'path',
    description:
      "Directory of tasks that belong to no codebase, or none (default: the user's home, for a named server)",
    words: ['none'],
  },
  registration_roots: {
    type: 'paths',
    description:
      'Directories below which the server may have codebases registered (default: beside the configured ones)',
  },
  capabilities: {
    type: 'list',
    description: 'Capabilities announced to the control plane',
    default: ['opencode', 'build', 'deploy'],
  },
  poll_interval: {
    type: 'integer',
    description: 'Seconds between polls while the stream is down',
    flag: 'poll-interval',
    char: 'i',
    default: 5,
    minimum: 1,
    maximum: 3600,
    live: true,
  },
  max_concurrent_tasks: {
    type: 'integer',
    description: 'Tasks that run at once (one at a time in each working tree)',
    flag: 'max-concurrent-tasks',
    default: 2,
    minimum: 1,
    maximum: 256,
    live: true,
  },
  sse_heartbeat_timeout: {
    type: 'integer',
    description: 'Seconds of silence after which the stream counts as dead',
    flag: 'sse-heartbeat-timeout',
    default: 45,
    minimum: 1,
    maximum: 3600,
  },
  opencode_bin: {
    type: 'path',
    description: 'OpenCode binary (default: looked for in the usual places and on PATH)',
    flag: 'opencode',
    env: ['OPENCODE_BIN_PATH'],
  },
  permissions: {
    type: 'object',
    description: 'OpenCode permission rules, merged over the default that nothing asks',
    live: true,
  },
  env_allow: {
    type: 'list',
    description: 'Further environment variables the agent may see; a trailing * matches any ending',
    default: [],
    live: true,
  },
  redact: {
    type: 'list',
    description: 'Patterns (regular expressions) blanked out of output and sessions before they leave the machine',
    default: [],
    live: true,
  },
  allowed_agents: {type: 'list', description: 'Agents that tasks may name (default: any)', live: true},
  allowed_models: {type: 'list', description: 'Models that tasks may name (default: any)', live: true},
  on_interrupt: {
    type: 'string',
    description:
      'What becomes of a task whose agent died with the worker: its session goes on, it begins again, it fails',
    options: ['resume', 'requeue', 'fail'],
    default: 'resume',
    live: true,
  },
  max_attempts: {
    type: 'integer',
    description: 'How often a task is begun, or continued, in all',
    default: 3,
    minimum: 1,
    live: true,
  },
  task_timeout: {
    type: 'integer',
    description: 'Seconds a task may take; 0 means no limit',
    default: 7200,
    minimum: 0,
    live: true,
  },
  startup_timeout: {
    type: 'integer',
    description: 'Seconds until the agent must have shown its first event; 0 means no limit',
    default: 120,
    minimum: 0,
    live: true,
  },
  idle_timeout: {
    type: 'integer',
    description: 'Seconds without output while no tool runs; 0 means no limit',
    default: 900,
    minimum: 0,
    live: true,
  },
  tool_timeout: {
    type: 'integer',
    description: 'Seconds without output while a tool runs; 0 means no limit',
    default: 3600,
    minimum: 0,
    live: true,
  },
  cancel_grace: {
    type: 'integer',
    description: 'Seconds between SIGTERM and SIGKILL when a task is cancelled',
    default: 10,
    minimum: 0,
    maximum: 600,
    live: true,
  },
  drain_timeout: {
    type: 'integer',
    description: 'Seconds that running tasks get to end after the first SIGTERM; 0 means until done',
    default: 300,
    minimum: 0,
    live: true,
  },
  state_dir: {type: 'path', description: 'Directory for state (default: ~/.local/state/a2a-worker)'},
  min_free_disk: {
    type: 'integer',
    description: 'MiB that must be free on the disk of the state directory for tasks to be taken; 0 means any',
    default: 512,
    minimum: 0,
    live: true,
  },
  keep_runs_days: {
    type: 'integer',
    description: 'Days for which the files of ended runs are kept; 0 means no limit',
    default: 14,
    minimum: 0,
    live: true,
  },
  keep_runs_mb: {
    type: 'integer',
    description: 'MiB that the files of ended runs may take, the oldest go first; 0 means no limit',
    default: 1024,
    minimum: 0,
    live: true,
  },
  log_level: {
    type: 'string',
    description: 'Least level that is logged',
    flag: 'log-level',
    options: ['debug', 'info', 'warn', 'error'],
    default: 'info',
    live: true,
  },
  log_format: {
    type: 'string',
    description: 'How log lines look',
    flag: 'log-format',
    options: ['text', 'json'],
    default: 'text',
  },
  redis_url: {
    type: 'string',
    description: 'Redis whose announcements wake the worker (default: what the server announces, if it does)',
    flag: 'redis-url',
    secret: true,
  },
  opencode_storage_path: {
    type: 'path',
    description: "OpenCode's session storage: its data folder, `storage` in it, or a database (default: where it is)",
    flag: 'opencode-storage-path',
    env: ['OPENCODE_STORAGE_PATH'],
  },
  session_message_sync_max_sessions: {
    type: 'integer',
    description: 'Newest sessions of a codebase that are synced with messages; 0 means no messages',
    flag: 'session-message-sync-max-sessions',
    default: 3,
    minimum: 0,
    maximum: 1000,
  },
  session_message_sync_max_messages: {
    type: 'integer',
    description: 'Newest messages of a session that are synced; 0 means none',
    flag: 'session-message-sync-max-messages',
    default: 100,
    minimum: 0,
    maximum: 2000,
  },
  active_session_sync_interval: {
    type: 'number',
    description: 'Seconds between syncs of the session of a task that runs',
    default: 1,
    minimum: 0.2,
    maximum: 3600,
  },
} as const satisfies Record<string, Setting>

export type SettingKey = keyof typeof settings

type Value<S> = S extends {type: 'integer' | 'number'}
  ? number
  : S extends {type: 'boolean'}
    ? boolean
    : S extends {type: 'list' | 'paths'}
      ? readonly string[]
      : S extends {type: 'object'}
        ? Readonly<Record<string, unknown>>
        : S extends {type: 'codebases'}
          ? readonly ConfiguredCodebase[]
          : S extends {options: readonly (infer O)[]}
            ? O
            : string

/** The resolved settings: a value where there is a default, else perhaps undefined. */
export type Config = {
  readonly [K in SettingKey]: (typeof settings)[K] extends {default: unknown}
    ? Value<(typeof settings)[K]>
    : Value<(typeof settings)[K]> | undefined
}

export const settingKeys = Object.keys(settings) as SettingKey[]

/** The definition of a setting with all optional parts visible; `settings[key]` itself has the literal types. */
export const settingDefinition = (key: SettingKey): Setting => settings[key]

/** Environment names of a setting, best first. */
export const envNames = (key: SettingKey): string[] => [
  `A2A_${key.toUpperCase()}`,
  ...(settingDefinition(key).env ?? []),
]
