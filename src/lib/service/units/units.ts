import {join} from 'node:path'
import {appDir, nodeFile, serviceUser, type Layout} from '../machine/layout.ts'
import {quoteCommandWord} from './unit-quoting.ts'

/** How a file of ours begins: by this an installation knows its own. */
export const fileHeader = '# Written by `a2a-worker install-service`'

/** The default of `drain_timeout`, which a machine's drop-in changes. */
export const defaultDrain = 300

/** How long systemd waits for a worker that drains, and then says goodbye. No limit means none. */
export const stopTimeout = (drainSeconds: number) => (drainSeconds === 0 ? 'infinity' : String(drainSeconds + 30))

/** The worker's unit. */
export function workerUnit(layout: Layout): string {
  const {scope, unit, agentsUnit, instance, configFile, envFile} = layout
  const isSystem = scope === 'system'
  const name = instance === undefined ? '' : ` --name ${instance}`
  const program = [nodeFile(layout), join(appDir(layout), 'bin/run.js'), 'start', '--config', configFile]
  return `${fileHeader}, which replaces it: changes belong in a drop-in
# (systemctl ${isSystem ? '' : '--user '}edit ${unit}).

[Unit]
Description=a2a-worker${instance === undefined ? '' : ` ${instance}`}: runs coding agents where the code is
# Agents live through a crash, a restart and an upgrade of the worker. This one ends them at a stop.
Requires=${agentsUnit}.service
After=${agentsUnit}.service${isSystem ? ' network-online.target\nWants=network-online.target' : ''}
# A unit that has given up is one that was stopped, to its agents.
StartLimitIntervalSec=0

[Service]
Type=notify
# The worker has systemd-notify speak for it.
NotifyAccess=all
${isSystem ? identity(layout) : ''}EnvironmentFile=-${envFile.replaceAll('%', '%%')}
ExecStart=${program.map(quoteCommandWord).join(' ')}${name}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=2
# Bad usage, refused by the server, bad configuration: trying again would not help.
RestartPreventExitStatus=2 77 78
KillMode=process
# drain_timeout, and time to say goodbye.
TimeoutStopSec=${stopTimeout(defaultDrain)}
WatchdogSec=60
# A task that runs out of memory is a failed task, not a stopped worker.
OOMPolicy=continue
MemoryMax=2G
CPUQuota=200%
# Tokens are in the memory of the worker.
LimitCORE=0
NoNewPrivileges=yes
${isSystem ? sandbox(layout) : ''}
[Install]
WantedBy=${isSystem ? 'multi-user' : 'default'}.target
`
}

const identity = ({home}: Layout) => `User=${serviceUser}
Group=${serviceUser}
Environment=HOME=${home}
WorkingDirectory=${home}
SyslogIdentifier=a2a-worker
`

/**
 * What is left out, and why: PrivateTmp (it would empty the /tmp of agents that live on) and RemoveIPC (likewise),
 * MemoryDenyWriteExecute (Node and OpenCode compile as they run), ProcSubset (build tools count processors in /proc),
 * a filter of @resources (build tools call nice).
 */
const sandbox = ({tmp}: Layout) => `
# State, sockets (for members of the group), and a /tmp of its own that outlives the worker as its agents do.
StateDirectory=a2a-worker a2a-worker/home ${tmp}
StateDirectoryMode=0700
RuntimeDirectory=a2a-worker
RuntimeDirectoryMode=0750
RuntimeDirectoryPreserve=yes
BindPaths=/var/lib/${tmp}:/tmp /var/lib/${tmp}:/var/tmp
# What agents write in a codebase its group may read and change.
UMask=0007

# The file system is read-only and homes are empty, but for the codebases in machine.conf.
ProtectSystem=strict
ProtectHome=tmpfs
PrivateDevices=yes
DevicePolicy=closed
PrivateMounts=yes
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
KeyringMode=private
LockPersonality=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
`

/**
 * The companion: it is needed as long as the worker's unit is active or about to be restarted, and when it is not, it
 * ends what is left in the worker's group. The worker cannot: to it a stop and a restart look the same. (An
 * ExecStopPost= cannot either: it runs at each crash, and not at a stop after one.)
 */
export function agentsUnit({scope, unit, instance}: Layout): string {
  const user = scope === 'user' ? ' --user' : ''
  return `${fileHeader}

[Unit]
Description=Ends the agents of a2a-worker${instance === undefined ? '' : ` ${instance}`} when it is stopped
StopWhenUnneeded=yes

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=true
ExecStop=-systemctl${user} kill --kill-who=all --signal=KILL ${unit}.service
`
}

/** The user that services of the machine run as (sysusers.d). */
export const sysusers = `${fileHeader}
u ${serviceUser} - "a2a-worker" /var/lib/a2a-worker/home /usr/sbin/nologin
`

/** Who may read the configuration, and how long what lies in /tmp of the services is kept (tmpfiles.d). */
export const tmpfiles = `${fileHeader}
z /etc/a2a-worker/*.json 0600 ${serviceUser} ${serviceUser} -
e /var/lib/a2a-worker/tmp* 0700 ${serviceUser} ${serviceUser} 10d
`

/** For git as the service runs it: it would not work in a tree that belongs to somebody else, as codebases do. */
export const gitConfig = `${fileHeader}
[safe]
\tdirectory = *
`
