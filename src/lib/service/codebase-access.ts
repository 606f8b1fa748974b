import {outsideFolders} from '../repository/outside-folders.ts'
import {ownerOf, type Rights, lockedOutOwner} from './file-rights.ts'
import {serviceUser} from './machine/layout.ts'
import type {Machine} from './machine/machine.ts'
import {isHidden} from './units/drop-in.ts'

/** Why agents of a service of the machine could not work in a codebase, or would lock its owner out. */
export type AccessProblem = {
  text: string
  /** Commands that mend it. Empty if only a person can. */
  commands: string[][]
}

/** What keeps the user of the service from working in a codebase, and its owner from using the results. */
export async function accessProblems(path: string, machine: Machine): Promise<AccessProblem[]> {
  if (!machine.exists(path)) return [{text: `the codebase ${path} does not exist`, commands: []}]
  const {top, writable, readable} = outsideFolders(path)
  const needs = [
    {path, rights: 'rwX' as const},
    ...writable.map((folder) => ({path: folder, rights: 'rwX' as const})),
    ...readable.map((folder) => ({path: folder, rights: 'rX' as const})),
  ]
  const found = await Promise.all(needs.map((need) => problemWith(need, machine)))
  return [...(top !== undefined && isHidden(top) ? [partOf(path, top)] : []), ...found.flatMap((one) => one ?? [])]
}

const partOf = (path: string, top: string): AccessProblem => ({
  text: `${path} is a part of the repository ${top}, which the service does not see, so its agents cannot commit; serve ${top} instead`,
  commands: [],
})

async function problemWith(need: {path: string; rights: Rights}, machine: Machine): Promise<AccessProblem | undefined> {
  const {path, rights} = need
  const commands = [grantCommand(need, await ownerOf(path, machine))]
  if (!(await isUsable(need, machine))) {
    const verb = rights === 'rwX' ? 'write to' : 'read'
    return {text: `the user ${serviceUser} cannot ${verb} ${path}`, commands}
  }

  const owner = rights === 'rwX' ? await lockedOutOwner(path, machine) : undefined
  if (owner === undefined) return undefined
  return {text: `${owner}, the owner of ${path}, cannot change files that agents create there`, commands}
}

/** The sandbox opens the way through a home directory, so only the rights on the folder itself count there. */
async function isUsable({path, rights}: {path: string; rights: Rights}, machine: Machine): Promise<boolean> {
  const {cwd, name} = isHidden(path) ? {cwd: path, name: '.'} : {cwd: '/', name: path}
  const test = ['test', rights === 'rwX' ? '-w' : '-r', name]
  return (await machine.run(['runuser', '-u', serviceUser, '--', ...test], {cwd})).code === 0
}

/**
 * Gives the user of the service rights on a folder, and on what is created there later. The owner gets the same: files
 * that agents create belong to the user of the service, so without this the owner could not change or remove them.
 */
export function grantCommand({path, rights}: {path: string; rights: Rights}, owner: string | undefined): string[] {
  const users = owner === undefined || rights !== 'rwX' ? [serviceUser] : [serviceUser, owner]
  return [
    'setfacl',
    '-R',
    ...users.flatMap((user) => ['-m', `u:${user}:${rights}`, '-m', `d:u:${user}:${rights}`]),
    path,
  ]
}

/** A command as it can be typed. */
export const shellText = (words: readonly string[]): string =>
  words.map((word) => (/^[\w@%/.,:+=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ')
