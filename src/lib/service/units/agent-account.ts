import {findAgentUser} from '../../opencode/program/agent-user.ts'
import {agentsDir, agentsTmp, ownAgentUser, serviceUser} from '../machine/layout.ts'
import {fileHeader} from './units.ts'

/** The home of the user that agents run as. Throws ExpectedError (78) if there is no such user. */
export const homeOfAgents = (user: string): string =>
  user === ownAgentUser ? `${agentsDir}/home` : (findAgentUser(user)?.home ?? '/')

/**
 * Creates the user of the agents, if it is ours, and lets the worker read what the user's group may read: the sessions
 * (sysusers.d). `group` is that of another user.
 */
export const agentSysusers = (user: string, group: string): string => `${fileHeader}
${user === ownAgentUser ? `u ${user} - "agents of a2a-worker" ${agentsDir}/home /usr/sbin/nologin\n` : ''}m ${serviceUser} ${group}
`

/** The folders of the agents (tmpfiles.d). Their /tmp is one that all may use, and is cleaned after ten days. */
export const agentTmpfiles = (user: string): string => `${fileHeader}
d ${agentsDir} 0755 root root -
d ${agentsTmp} 1777 root root 10d
${user === ownAgentUser ? `d ${agentsDir}/home 0750 ${user} ${user} -\n` : ''}`

/**
 * The lines of the drop-in for agents with a user of their own. The worker starts them by setpriv, with capabilities
 * that they do not get.
 */
export const agentUserLines = (user: string): string[] => [
  `# Agents run as ${user}. To start them as that user, the worker needs:`,
  'CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_SETPCAP',
  'AmbientCapabilities=CAP_SETUID CAP_SETGID CAP_SETPCAP',
  'SystemCallFilter=@setuid capset',
  '# A /tmp for both users.',
  'BindPaths=',
  `BindPaths=${agentsTmp}:/tmp ${agentsTmp}:/var/tmp`,
]
