import {spawnSync} from 'node:child_process'

/**
 * Words that run a command in a pid namespace of its own (pid_namespaces(7)). The shell there is process 1: it reaps
 * orphans, passes SIGTERM on, and ends with the command. The kernel then kills all that is left. If `unshare` is killed,
 * so is the shell. The descriptor keeps stdin: a shell gives a command in the background /dev/null. SIGTERM interrupts
 * `wait`, so it is repeated until the command has ended.
 */
const init = [
  'exec 9<&0; "$@" <&9 9<&- & child=$!; trap "kill -TERM $child" TERM; wait $child; code=$?',
  'while kill -0 $child 2>/dev/null; do wait $child; code=$?; done; exit $code',
].join('\n')

/** Another user than root needs a user namespace, in which programs such as sudo do not work. */
const flags = () => [
  ...(process.getuid?.() === 0 ? [] : ['--user', '--map-current-user']),
  ...['--pid', '--fork', '--mount-proc', '--kill-child', '--'],
]

/** Program and arguments of a command, in a pid namespace of its own or as it is. */
export function inNamespace(command: readonly string[], isNamespace: boolean): [string, string[]] {
  const [program = '', ...args] = command
  return isNamespace ? ['unshare', [...flags(), '/bin/sh', '-c', init, 'sh', ...command]] : [program, args]
}

/** Whether this process may create pid namespaces: a container or its sandbox may forbid it. */
export const mayCreateNamespaces = (): boolean =>
  process.platform === 'linux' && spawnSync('unshare', [...flags(), 'true'], {stdio: 'ignore'}).status === 0
