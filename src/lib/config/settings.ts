/**
 * The one list of settings. Keys are the names in the configuration file. Types, environment names, flags, the JSON
 * schema and the help are derived from it.
 */
type Base = {
  description: string
  /** Long name of the command-line flag, and its letter. Without a flag: file and environment only. */
  flag?: string
  char?: string
  /** Additional environment names, read after `A2A_<KEY>`. */
  env?: readonly string[]
  /** Masked in all output. */
  secret?: true
  /** A running worker applies a change at a reload (SIGHUP). Other settings need a restart. */
  live?: true
}

type Setting = Base &
  (
    | {type: 'string'; default?: string; options?: readonly string[]}
    | {type: 'path'; default?: string; /** Keywords that are not resolved as paths. */ words?: readonly string[]}
    | {type: 'integer'; default?: number; minimum?: number; maximum?: number}
    | {type: 'number'; default?: number; minimum?: number; maximum?: number}
    | {type: 'boolean'; default?: boolean}
    | {type: 'list'; default?: readonly string[]}
    | {type: 'paths'; default?: readonly string[]}
    | {type: 'object'; default?: undefined; /** Texts that are accepted as they are. */ words?: readonly string[]}
    /** A shell command, or a program with its arguments. */
    | {type: 'command'; default?: undefined}
    | {type: 'codebases'; default?: readonly ConfiguredCodebase[]}
  )

/** A codebase as configured; `path` is absolute once resolved. */
export type ConfiguredCodebase = {name: string; path: string; description: string}

/** A text is run by `sh -c`. A list is a program and its arguments, run without a shell. */
export type Command = string | readonly string[]

export const settings = {
  server_url: {type: 'string', description: 'Control plane to work for', flag: 'server', char: 's'},
  auth_token: {type: 'string', description: 'Bearer token for the control plane', secret: true, live: true},
  auth_token_file: {type: 'path', description: 'File that contains the token (mode 0600)', live: true},
  proxy: {
    type: 'string',
    description:
      'HTTP proxy on the way to the control plane, or none (default: HTTPS_PROXY or HTTP_PROXY, except for NO_PROXY); never used for loopback',
    secret: true,
  },
  insecure: {
    type: 'boolean',
    description: 'Send the token to a public address even without encryption (http://)',
    flag: 'insecure',
    default: false,
  },
  worker_name: {type: 'string', description: 'Name of this worker', flag: 'name', char: 'n'},
  worker_id: {
    type: 'string',
    description: 'Worker id (default: created once and stored in the state directory)',
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
    description: "Directory for tasks without a codebase, or none (default: the user's home if a server is named)",
    words: ['none'],
  },
  registration_roots: {
    type: 'paths',
    description: 'Directories below which the server may register codebases (default: beside the configured codebases)',
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
    description: 'Tasks that run at the same time (one at a time in each working tree)',
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
    description: 'OpenCode binary (default: searched in the usual places and on PATH)',
    flag: 'opencode',
    env: ['OPENCODE_BIN_PATH'],
  },
  executor: {
    type: 'string',
    description:
      'How OpenCode is run: `opencode run` (run), the Agent Client Protocol (acp), or auto: the protocol from OpenCode 1.18.33 on, and where permissions ask',
    options: ['auto', 'run', 'acp'],
    default: 'auto',
    live: true,
  },
  agents: {
    type: 'object',
    description:
      'Further agents: NAME to {command, type, env_allow, permissions, model, mode}, or to false (built in where installed: claude, codex, gemini)',
  },
  warm_agents: {
    type: 'integer',
    description:
      'OpenCode processes that are kept for the next task of their codebase, over the Agent Client Protocol; each takes up to 1 GB; 0 means none (default: 1 over the protocol with 4 GB of memory)',
    minimum: 0,
    maximum: 64,
    live: true,
  },
  permissions: {
    type: 'object',
    description: 'OpenCode permission rules, or ask, allow or deny for all, merged over the default, which never asks',
    words: ['ask', 'allow', 'deny'],
    live: true,
  },
  ask_timeout: {
    type: 'integer',
    description: 'Seconds that an agent waits for the answer of a person before it is told no; 0 means no limit',
    default: 600,
    minimum: 0,
    live: true,
  },
  env_allow: {
    type: 'list',
    description: 'Additional environment variables that the agent may see; a trailing * matches any ending',
    default: [],
    live: true,
  },
  git_identity: {
    type: 'string',
    description: 'Author of the commits of agents where git knows none, NAME <EMAIL>',
    live: true,
  },
  redact: {
    type: 'list',
    description: 'Regular expressions; matches in output and sessions are replaced before they leave the machine',
    default: [],
    live: true,
  },
  allowed_agents: {type: 'list', description: 'Agents that tasks may name (default: any)', live: true},
  unknown_model: {
    type: 'string',
    description:
      'A task names a model that OpenCode does not have: fail the task, or run it with the default model of OpenCode',
    options: ['fail', 'default'],
    default: 'fail',
    live: true,
  },
  allowed_models: {type: 'list', description: 'Models that tasks may name (default: any)', live: true},
  verify_tasks: {
    type: 'string',
    description:
      'Signatures of tasks: off, warn of a task that is not signed by a trusted key, or require one and fail all others',
    options: ['off', 'warn', 'require'],
    default: 'off',
    live: true,
  },
  trusted_keys: {
    type: 'list',
    description: 'Public keys whose signatures count, ed25519:KEY, or files with one key per line',
    default: [],
    live: true,
  },
  approve_task: {
    type: 'command',
    description:
      'Command that gets each task as JSON before it is run: exit 0 approves, exit 1 refuses, and its output is the reason',
    live: true,
  },
  signing_key: {
    type: 'path',
    description: 'Private key that signs the tasks that this client creates',
    flag: 'key',
  },
  agent_user: {
    type: 'string',
    description:
      'User that agents run as, so that they read neither state, token nor other runs; needs a control group per run, and root or the service',
    flag: 'agent-user',
  },
  run_containment: {
    type: 'string',
    description:
      'What keeps the processes of a run together: a control group (cgroup), a pid namespace (namespace; without sudo for agents, unless the worker is root), what they inherit (none), or the best of these (auto)',
    options: ['auto', 'cgroup', 'namespace', 'none'],
    default: 'auto',
  },
  on_interrupt: {
    type: 'string',
    description:
      'If the agent died with the worker: resume the session, requeue the task (start again), or fail the task',
    options: ['resume', 'requeue', 'fail'],
    default: 'resume',
    live: true,
  },
  max_attempts: {
    type: 'integer',
    description: 'How often a task is started or continued, in total',
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
    description: 'Seconds until the first event of the agent; 0 means no limit',
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
  max_output_mb: {
    type: 'integer',
    description: 'Output of a task in MiB above which it is ended; 0 means no limit',
    default: 1024,
    minimum: 0,
    live: true,
  },
  max_cost: {
    type: 'number',
    description: 'US dollars that a task may cost; it is ended above that, and its work is kept; 0 means no limit',
    default: 0,
    minimum: 0,
    live: true,
  },
  max_tokens: {
    type: 'integer',
    description: 'Tokens of input and output that a task may use; 0 means no limit',
    default: 0,
    minimum: 0,
    live: true,
  },
  max_turns: {
    type: 'integer',
    description: 'Turns of the model that a task may take; 0 means no limit',
    default: 0,
    minimum: 0,
    live: true,
  },
  max_cost_per_day: {
    type: 'number',
    description: 'US dollars that the tasks of this worker may cost per day (UTC); 0 means no limit',
    default: 0,
    minimum: 0,
    live: true,
  },
  max_provider_wait: {
    type: 'integer',
    description: 'Seconds to wait for a model provider that refuses requests for a time; 0 means no limit',
    default: 900,
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
    description: 'Seconds that running tasks get to finish after the first SIGTERM; 0 means no limit',
    default: 300,
    minimum: 0,
    live: true,
  },
  state_dir: {type: 'path', description: 'Directory for state (default: ~/.local/state/a2a-worker)'},
  min_free_disk: {
    type: 'integer',
    description: 'MiB that must be free on the disk of the state directory to take tasks; 0 means no minimum',
    default: 512,
    minimum: 0,
    live: true,
  },
  keep_runs_days: {
    type: 'integer',
    description: 'Days after which the files of an ended run are removed; 0 means no limit',
    default: 14,
    minimum: 0,
    live: true,
  },
  keep_runs_mb: {
    type: 'integer',
    description: 'MiB that the files of ended runs may use; the oldest are removed first; 0 means no limit',
    default: 1024,
    minimum: 0,
    live: true,
  },
  log_level: {
    type: 'string',
    description: 'Lowest level that is logged',
    flag: 'log-level',
    options: ['debug', 'info', 'warn', 'error'],
    default: 'info',
    live: true,
  },
  log_format: {
    type: 'string',
    description: 'Format of the log lines',
    flag: 'log-format',
    options: ['text', 'json'],
    default: 'text',
  },
  health_addr: {
    type: 'string',
    description:
      'Address of health checks and metrics (/livez, /readyz, /metrics), PORT on loopback or HOST:PORT (default: none)',
    flag: 'health-addr',
  },
  health_token: {
    type: 'string',
    description: 'Bearer token for /metrics; needed if health_addr is not on loopback',
    secret: true,
  },
  redis_url: {
    type: 'string',
    description: 'Redis whose announcements wake the worker (default: the URL that the server announces)',
    flag: 'redis-url',
    secret: true,
  },
  redis_hosts: {
    type: 'list',
    description: 'Hosts whose Redis the server may name to its workers, besides its own host',
    default: [],
  },
  opencode_storage_path: {
    type: 'path',
    description:
      "OpenCode's session storage: its data folder, `storage` in it, or a database (default: found automatically)",
    flag: 'opencode-storage-path',
    env: ['OPENCODE_STORAGE_PATH'],
  },
  session_message_sync_max_sessions: {
    type: 'integer',
    description: 'Number of newest sessions of a codebase that are synced with messages; 0 means no messages',
    flag: 'session-message-sync-max-sessions',
    default: 3,
    minimum: 0,
    maximum: 1000,
  },
  session_message_sync_max_messages: {
    type: 'integer',
    description: 'Number of newest messages of a session that are synced; 0 means none',
    flag: 'session-message-sync-max-messages',
    default: 100,
    minimum: 0,
    maximum: 2000,
  },
  active_session_sync_interval: {
    type: 'number',
    description: 'Seconds between syncs of the session of a running task',
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
      : S extends {type: 'command'}
        ? Command
        : S extends {type: 'object'}
          ? Readonly<Record<string, unknown>> | (S extends {words: readonly (infer W)[]} ? W : never)
          : S extends {type: 'codebases'}
            ? readonly ConfiguredCodebase[]
            : S extends {options: readonly (infer O)[]}
              ? O
              : string

/** The resolved settings. A setting without a default may be undefined. */
export type Config = {
  readonly [K in SettingKey]: (typeof settings)[K] extends {default: unknown}
    ? Value<(typeof settings)[K]>
    : Value<(typeof settings)[K]> | undefined
}

export const settingKeys = Object.keys(settings) as SettingKey[]

/** The definition of a setting, typed with all optional parts. `settings[key]` itself has literal types. */
export const settingDefinition = (key: SettingKey): Setting => settings[key]

/** Environment names of a setting, in order of precedence. */
export const envNames = (key: SettingKey): string[] => [
  `A2A_${key.toUpperCase()}`,
  ...(settingDefinition(key).env ?? []),
]
