import {folderId} from '../../config/machine-id.ts'

/**
 * The owner part of a marker: the worker and its state directory, as `ID@DEVICE-INODE`. The id alone is not enough: two
 * workers with one id, for two servers, may run on one machine.
 */
export const markerOwner = (workerId: string, workerDir: string): string =>
  `${workerId}@${folderId(workerDir).replace(':', '-')}`

/** The marker of a run: the value of `A2A_RUN` in the environment of all its processes. */
export const runMarker = (owner: string, {id, attempt}: {id: string; attempt: number}): string =>
  `${owner}:${id}:${attempt}`

export const isMarkerOf = (owner: string, marker: string): boolean => marker.startsWith(`${owner}:`)
