export type Rights = 'rwX' | 'rX'

/** Rights on a folder and all that it contains, for a user of the service and perhaps the owner. */
export type Grant = {path: string; rights: Rights; user: string; owner: string | undefined}

/**
 * The owner gets the same rights as the user of the agents: files that agents create belong to the latter, so without
 * this the owner could not change or remove them.
 */
const usersOf = ({rights, user, owner}: Grant) => (owner === undefined || rights !== 'rwX' ? [user] : [user, owner])

/** Arguments of setfacl for folders: what is created there later gets the same rights. */
export const folderEntries = (grant: Grant): string[] =>
  usersOf(grant).flatMap((user) => ['-m', `u:${user}:${grant.rights}`, '-m', `d:u:${user}:${grant.rights}`])

export const fileEntries = (grant: Grant): string[] =>
  usersOf(grant).flatMap((user) => ['-m', `u:${user}:${grant.rights}`])

/** The same as a command for a person. */
export const grantCommand = (grant: Grant): string[] => ['setfacl', '-R', ...folderEntries(grant), grant.path]
