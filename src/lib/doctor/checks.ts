import {installCommand} from '../opencode/program/locate.ts'
/** What a check looks at, the symptom that leads to it, and what to do first. */
export type Check = {looks: string; symptom: string; remedy: string}

/**
 * All checks of `doctor`, in the order of its output. `docs/operate.md` has a table of them (`npm run manifest`), and a
 * finding of a check without an entry is a compile error.
 */
export const checks = {
  configuration: {
    looks: 'whether the configuration files can be read and all settings are valid',
    symptom: 'A command or worker exits with 78.',
    remedy: 'Correct what `a2a-worker config validate` lists.',
  },
  environment: {
    looks: 'whether variables that agents usually need are kept from them',
    symptom: 'An agent cannot log in to its provider or to git, although it works in your shell.',
    remedy: 'Name the variables in `env_allow`.',
  },
  state: {
    looks: 'whether the state directory is writable and its disk has space',
    symptom: 'The worker is connected and takes no tasks.',
    remedy: 'Free space on the disk of `state_dir`, or lower `keep_runs_mb`.',
  },
  init: {
    looks: 'whether process 1 of a container reaps the processes that agents leave behind',
    symptom: 'The number of defunct processes in a container grows.',
    remedy: 'Start the container with an init: `docker run --init`.',
  },
  runs: {
    looks: 'what keeps the processes of a run together',
    symptom: 'A process of an agent is alive after its task.',
    remedy: 'Run the worker as a service, or set `run_containment`.',
  },
  sessions: {
    looks: 'where OpenCode keeps its sessions, and the size of its database',
    symptom: 'The control plane shows no sessions of a codebase.',
    remedy: 'Set `opencode_storage_path`.',
  },
  codebases: {
    looks: 'whether any codebase is configured',
    symptom: 'The worker runs and nothing can be created for it.',
    remedy: 'Run `a2a-worker register` in the directory of the code.',
  },
  codebase: {
    looks: 'whether a codebase exists, the worker may write to it, and git works in it',
    symptom: 'A codebase is not registered, or agents cannot change or commit files.',
    remedy: 'Give the user of the worker access with the `setfacl` command that `doctor` prints.',
  },
  service: {
    looks: 'whether the agents of an installed service can work in its codebases',
    symptom: 'Tasks work with `a2a-worker start` and fail in the service.',
    remedy: 'Run `sudo a2a-worker install-service --grant` again.',
  },
  worker: {
    looks: 'whether a worker runs here, for the configured server, and is connected',
    symptom: 'Tasks wait although this machine has the code, or start seconds late.',
    remedy: 'Start the worker: `sudo systemctl start a2a-agent-worker`, or `a2a-worker start`.',
  },
  health: {
    looks: 'whether `health_addr` can be used',
    symptom: 'A probe of `/livez` or `/readyz` gets no answer.',
    remedy: 'Choose a free port: `a2a-worker config set health_addr 7421`.',
  },
  broker: {
    looks: 'whether the Redis that announces tasks answers',
    symptom: 'Tasks start seconds late while the task stream is down.',
    remedy: 'Check `redis_url`. Tasks arrive without Redis too, but later.',
  },
  redis: {
    looks: 'what the settings of a Redis that holds the state can lose',
    symptom: 'Tasks are gone after a restart of Redis.',
    remedy: 'Set `appendonly yes` and `maxmemory-policy noeviction` in Redis.',
  },
  proxy: {
    looks: 'whether requests go through a proxy',
    symptom: 'A command cannot reach a control plane that a browser reaches.',
    remedy: 'Set `HTTPS_PROXY`, or the setting `proxy`.',
  },
  server: {
    looks: 'the way to the control plane: host name, port, TLS, and what answers there',
    symptom: 'A command exits with 69.',
    remedy: 'Correct `server_url`, or start the control plane.',
  },
  clock: {
    looks: 'whether the clocks of this machine and of the control plane agree',
    symptom: 'Ages and waiting times are wrong, or signed tasks count as expired.',
    remedy: 'Run `timedatectl set-ntp true`.',
  },
  token: {
    looks: 'whether the control plane accepts the token',
    symptom: 'A command exits with 77.',
    remedy: 'Set the right token: `a2a-worker config set auth_token`.',
  },
  workers: {
    looks: 'whether the control plane knows workers, and gives the same lists each time',
    symptom: '“No workers available”, or lists that change from request to request.',
    remedy: 'Start a worker. Give all replicas the same `A2A_REDIS_URL`.',
  },
  registration: {
    looks: 'whether the registration of a codebase waits',
    symptom: 'A codebase that was registered on the monitor page does not appear.',
    remedy: 'Add its path to `registration_roots`, or run `a2a-worker register` on its machine.',
  },
  queue: {
    looks: 'why tasks wait, and which tasks have lost their worker',
    symptom: 'A task stays `pending`, or `running` without output.',
    remedy: 'Do what `doctor` names for the reason. `a2a-worker tasks get TASK` shows the reason of one task.',
  },
  agents: {
    looks: 'which agents besides OpenCode are installed',
    symptom: '`tasks create --with` refuses an agent.',
    remedy: 'Install the agent on the machine of the worker, and restart the worker.',
  },
  OpenCode: {
    looks: 'whether OpenCode is installed, starts, and finds `git` and `rg`',
    symptom: 'The worker pauses with the cause `agent`, or tasks fail at once.',
    remedy: `Run \`${installCommand}\`, or set \`opencode_bin\`.`,
  },
} as const satisfies Record<string, Check>

export type CheckName = keyof typeof checks
/** A check, with what it was about if it is made several times: `codebase api`. */
export type CheckLabel = CheckName | `${CheckName} ${string}`
