import {statSync} from 'node:fs'
import type {Machine} from './machine/machine.ts'

const setgid = 0o2000
const groupWrite = 0o020

/** The owner of a folder by name, or by number without one. Undefined for root, who needs no rights. */
export async function ownerOf(path: string, machine: Machine): Promise<string | undefined> {
  const {uid} = statSync(path)
  if (uid === 0) return undefined
  const {code, stdout} = await machine.run(['id', '-nu', String(uid)])
  return code === 0 ? stdout : String(uid)
}

/**
 * The owner of a folder, if files that the user of the agents creates there would be closed to that owner. Neither a
 * default entry (setfacl) nor an inherited group lets the owner in then.
 */
export async function lockedOutOwner(path: string, user: string, machine: Machine): Promise<string | undefined> {
  const {uid, mode} = statSync(path)
  const owner = await ownerOf(path, machine)
  const agents = await machine.lookUp(user)
  if (owner === undefined || agents?.uid === uid) return undefined
  if ((mode & setgid) !== 0 && (mode & groupWrite) !== 0) return undefined
  const {code, stdout} = await machine.run(['getfacl', '-cnp', path])
  const hasEntry = stdout.split('\n').some((line) => line.startsWith(`default:user:${uid}:rw`))
  return code === 0 && !hasEntry ? owner : undefined
}
