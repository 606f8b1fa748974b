import {join} from 'node:path'
import {appDir, nodeFile, serviceUser, type Layout} from '../machine/layout.ts'
import {quoteCommandWord} from './unit-quoting.ts'

/** First line of each file that an installation writes. It identifies our own files. */
export const fileHeader = '# Written by `a2a-worker install-service`'

/** Default of `drain_timeout` in seconds. The drop-in of a machine overrides the stop timeout. */
export const defaultDrain = 300

/** A longer time means no limit. systemd ignores a time that it cannot represent, and would take its default of 90 s. */
const maxSeconds = 100 * 365 * 86_400

/** TimeoutStopSec: the drain plus time to unregister. 0 means no limit. */
export const stopTimeout = (drainSeconds: number) =>
  drainSeconds === 0 || drainSeconds > maxSeconds ? 'infinity' : String(drainSeconds + 30)

/** Text of the worker's unit. */
export function workerUnit(layout: Layout): string {
  const {scope, unit, agentsUnit, instance, configFile, envFile} = layout
  const isSystem = scope === 'system'
  const name = instance === undefined ? '' : ` --name ${instance}`
  const program = [nodeFile(layout), join(appDir(layout), 'bin/run.js'), 'start', '--config', configFile]
  return `${fileHeader}, which overwrites this file. Put changes in a drop-in
# (systemctl ${isSystem ? '' : '--user '}edit ${unit}).

[Unit]
Description=a2a-worker${instance === undefined ? '' : ` ${instance}`}: runs coding agents where the code is
# Agents survive a crash, a restart and an upgrade of the worker. The companion unit ends them at a stop.
Requires=${agentsUnit}.service
After=${agentsUnit}.service${isSystem ? ' network-online.target\nWants=network-online.target' : ''}
# Never give up restarting: the companion unit would treat a failed unit as stopped and end the agents.
StartLimitIntervalSec=0

[Service]
Type=notify
# The worker sends notifications through systemd-notify, a child process: systemd would ignore it with \`main\`.
NotifyAccess=all
${isSystem ? identity(layout) : ''}EnvironmentFile=-${envFile.replaceAll('%', '%%')}
ExecStart=${program.map(quoteCommandWord).join(' ')}${name}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=2
# Bad usage, refused by the server, bad configuration: a restart would not help.
RestartPreventExitStatus=2 77 78
KillMode=process
# Each run gets a control group below that of the service. No controllers are enabled there: with them, the service could
# not start beside living agents.
Delegate=yes
# drain_timeout, plus time to unregister.
TimeoutStopSec=${stopTimeout(defaultDrain)}
WatchdogSec=60
# A task that runs out of memory fails, but the worker keeps running.
OOMPolicy=continue
MemoryMax=2G
${isSystem ? '# The kernel then picks an agent, not the worker, which raises this value for its agents.\nOOMScoreAdjust=-200\n' : ''}CPUQuota=200%
# No core dumps, because the memory of the worker contains tokens.
LimitCORE=0
NoNewPrivileges=yes
${isSystem ? sandbox(layout) : ''}
[Install]
WantedBy=${isSystem ? 'multi-user' : 'default'}.target
`
}

const identity = ({home}: Layout) => `User=${serviceUser}
Group=${serviceUser}
Environment=HOME=${home} GIT_CONFIG_SYSTEM=${gitConfigFile}
WorkingDirectory=${home}
SyslogIdentifier=a2a-worker
`

/**
 * The sandbox. Options left out on purpose: PrivateTmp and RemoveIPC (they would remove files of agents that outlive the
 * worker), MemoryDenyWriteExecute (Node and OpenCode use JIT compilers), ProcSubset (build tools count processors in
 * /proc), a filter of @resources (build tools call nice).
 */
const sandbox = ({tmp}: Layout) => `
# State, sockets for members of the group, and a private /tmp that outlives the worker, as its agents do.
StateDirectory=a2a-worker a2a-worker/home ${tmp}
StateDirectoryMode=0700
RuntimeDirectory=a2a-worker
RuntimeDirectoryMode=0750
RuntimeDirectoryPreserve=yes
BindPaths=/var/lib/${tmp}:/tmp /var/lib/${tmp}:/var/tmp
# The group of a codebase may read and change what agents write there.
UMask=0007

# The file system is read-only and homes are empty, except for the codebases in machine.conf.
ProtectSystem=strict
ProtectHome=tmpfs
PrivateDevices=yes
DevicePolicy=closed
PrivateMounts=yes
ProtectProc=invisible
ProtectClock=yes
# Only the control group of the service itself is writable.
ProtectControlGroups=yes
ReadWritePaths=-/sys/fs/cgroup/system.slice/%n -/sys/fs/cgroup/unified/system.slice/%n
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
KeyringMode=private
LockPersonality=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
# The metadata service of clouds gives out the credentials of the machine.
IPAddressDeny=169.254.169.254 fd00:ec2::254
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
`

/**
 * Text of the companion unit. systemd stops it when the worker's unit is neither active nor about to restart. It then
 * kills the remaining processes in the worker's control group. The worker itself cannot do that, because a stop and a
 * restart look the same to it. ExecStopPost= cannot either: it runs at each crash, and not at a stop after a crash.
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

/** Creates the user of the machine's services (sysusers.d). */
export const sysusers = `${fileHeader}
u ${serviceUser} - "a2a-worker" /var/lib/a2a-worker/home /usr/sbin/nologin
`

/** Sets the owner of the configuration, and cleans the /tmp of the services after ten days (tmpfiles.d). */
export const tmpfiles = `${fileHeader}
z /etc/a2a-worker/*.json 0640 root ${serviceUser} -
e /var/lib/a2a-worker/tmp* 0700 ${serviceUser} ${serviceUser} 10d
`

/** It is root's, beside the other configuration: in the home of the service, an agent could have a link in its place. */
export const gitConfigFile = '/etc/a2a-worker/gitconfig'

/**
 * git configuration of the service, which takes the place of the machine's and includes it. git refuses a working tree
 * of another owner, such as a codebase, without it. Agents can still use `git config --global` in their home.
 */
export const gitConfig = `${fileHeader}
[include]
\tpath = /etc/gitconfig
[safe]
\tdirectory = *
`
