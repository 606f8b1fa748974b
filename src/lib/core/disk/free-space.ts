/** The fields of `statfs` that are used here. */
type FileSystem = {bavail: number; blocks: number; bsize: number; files: number; ffree: number}

/** Stands for a file system that tells no limit. It is a number, because it is sent as JSON. */
const unlimited = Number.MAX_SAFE_INTEGER

/**
 * Free bytes for this user. Some file systems have no limit or tell none (a tmpfs with `size=0`, some network file
 * systems): they report no blocks at all, which must not count as a full disk.
 */
export const freeBytes = ({bavail, blocks, bsize}: Pick<FileSystem, 'bavail' | 'blocks' | 'bsize'>): number =>
  blocks === 0 ? unlimited : bavail * bsize

/** How many files can still be created, or null if the file system has no such limit. */
export const freeInodes = ({files, ffree}: Pick<FileSystem, 'files' | 'ffree'>): number | null =>
  files === 0 ? null : ffree
