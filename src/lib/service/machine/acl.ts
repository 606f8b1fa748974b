import {serviceUser} from './layout.ts'

export type Rights = 'rwX' | 'rX'

/** Rights on a folder and all that it contains, for the user of the service and perhaps the owner. */
export type Grant = {path: string; rights: Rights; owner: string | undefined}

/**
 * The owner gets the same rights as the user of the service: files that agents create belong to the latter, so without
 * this the owner could not change or remove them.
 */
const usersOf = ({rights, owner}: Grant) =>
  owner === undefined || rights !== 'rwX' ? [serviceUser] : [serviceUser, owner]

/** Arguments of setfacl for folders: what is created there later gets the same rights. */
export const folderEntries = (grant: Grant): string[] =>
  usersOf(grant).flatMap((user) => ['-m', `u:${user}:${grant.rights}`, '-m', `d:u:${user}:${grant.rights}`])

export const fileEntries = (grant: Grant): string[] =>
  usersOf(grant).flatMap((user) => ['-m', `u:${user}:${grant.rights}`])

/** The same as a command for a person. */
export const grantCommand = (grant: Grant): string[] => ['setfacl', '-R', ...folderEntries(grant), grant.path]
