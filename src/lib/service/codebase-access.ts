import type {Config} from '../config/settings.ts'
import {outsideFolders} from '../repository/outside-folders.ts'
import {ownerOf, lockedOutOwner} from './file-rights.ts'
import {grantCommand, type Grant, type Rights} from './machine/acl.ts'
import {serviceUser} from './machine/layout.ts'
import type {Machine} from './machine/machine.ts'
import {isHidden} from './units/drop-in.ts'

/** Why agents of a service of the machine could not work, or would lock the owner of a codebase out. */
export type ServiceProblem = {
  text: string
  /** What to do, the most likely first. */
  fixes: string[]
  /** What `--grant` does. */
  grant?: Grant
  /** Agents work without it, but perhaps not as well. */
  isMinor?: true
}

/** The user that the agents of a service of the machine run as. */
export const userOfAgents = ({agent_user: user}: Pick<Config, 'agent_user'>): string => user ?? serviceUser

/**
 * What keeps agents from working in a codebase as this user, its owner from using the results, and the worker, if it has
 * another user, from entering it.
 */
export async function accessProblems(path: string, user: string, machine: Machine): Promise<ServiceProblem[]> {
  if (!machine.exists(path))
    return [{text: `the codebase ${path} does not exist`, fixes: ['correct its path in the configuration']}]
  const {top, writable, readable, foreign} = outsideFolders(path)
  const needs: Need[] = [
    {path, rights: 'rwX', user, isGranted: true},
    ...writable.map((folder): Need => ({path: folder, rights: 'rwX', user, isGranted: true})),
    // An agent may have named this repository to read it, so only a person decides about that.
    ...readable.map((folder): Need => ({path: folder, rights: 'rX', user, isGranted: false})),
    ...(user === serviceUser ? [] : [{path, rights: 'rX', user: serviceUser, isGranted: true} as const]),
  ]
  const found = await Promise.all(needs.map((need) => problemWith(need, machine)))
  return [
    ...(top !== undefined && isHidden(top) ? [partOf(path, top)] : []),
    ...foreign.map((folder) => notOf(path, folder)),
    ...found.flatMap((one) => one ?? []),
  ]
}

/** Whoever can write to the codebase could have named the folder, so the service gets no rights on it. */
const notOf = (path: string, folder: string): ServiceProblem => ({
  text: `${path} keeps git data in ${folder}, which has another owner or does not name ${path} back, so the service does not get it and agents cannot commit`,
  fixes: [`if the folder is meant: git -C ${path} worktree repair, or move its data into ${path}`],
})

const partOf = (path: string, top: string): ServiceProblem => ({
  text: `${path} is a part of the repository ${top}, which the service does not see, so its agents cannot commit`,
  fixes: [`serve ${top} instead`],
})

type Need = {path: string; rights: Rights; user: string; isGranted: boolean}

async function problemWith(need: Need, machine: Machine): Promise<ServiceProblem | undefined> {
  const {path, rights, user} = need
  const grant = {path, rights, user, owner: await ownerOf(path, machine)}
  const fixes = [shellText(grantCommand(grant))]
  if (!(await isUsable(need, machine))) {
    const verb = rights === 'rwX' ? 'write to' : 'read'
    const text = `the user ${user} cannot ${verb} ${path}`
    return need.isGranted ? {text, fixes, grant} : {text, fixes}
  }

  const owner = rights === 'rwX' ? await lockedOutOwner(path, user, machine) : undefined
  if (owner === undefined) return undefined
  return {text: `${owner}, the owner of ${path}, cannot change files that agents create there`, fixes, grant}
}

/** The sandbox opens the way through a home directory, so only the rights on the folder itself count there. */
async function isUsable({path, rights, user}: Need, machine: Machine): Promise<boolean> {
  const {cwd, name} = isHidden(path) ? {cwd: path, name: '.'} : {cwd: '/', name: path}
  const test = ['test', rights === 'rwX' ? '-w' : '-r', name]
  return (await machine.run(['runuser', '-u', user, '--', ...test], {cwd})).code === 0
}

/** A command as it can be typed. */
export const shellText = (words: readonly string[]): string =>
  words.map((word) => (/^[\w@%/.,:+=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ')
