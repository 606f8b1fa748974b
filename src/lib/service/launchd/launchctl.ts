import {ExpectedError, configError} from '../../core/errors.ts'
import type {Machine} from '../machine/machine.ts'
import type {LaunchdLayout} from './launchd-layout.ts'
import {plistHeader} from './plist.ts'

/** Checks that this user can install a service here. Throws ExpectedError: no launchd (78), not root (77). */
export function checkLaunchd(machine: Machine, {scope}: LaunchdLayout, uid: number): void {
  if (!machine.isLive) return
  if (!machine.exists('/bin/launchctl'))
    throw configError('launchctl is missing on this machine.', 'Write only the files with --root DIR.')
  if (scope === 'system' && uid !== 0)
    throw new ExpectedError('Only root can install or remove a service of the machine.', {
      code: 'NOT_ROOT',
      exit: 'refused',
      suggestions: ['Run this with sudo, or give --user for a service of your own user.'],
    })
}

export const isLoaded = async (machine: Machine, {domain, label}: LaunchdLayout): Promise<boolean> =>
  (await machine.run(['launchctl', 'print', `${domain}/${label}`])).code === 0

export const isOurPlist = (text: string | undefined): boolean => text?.includes(plistHeader) ?? false

/** Throws ExpectedError (73) if the property list was written by another program. */
export function refuseForeignPlist(machine: Machine, {plist}: LaunchdLayout): void {
  const text = machine.read(plist)
  if (text === undefined || isOurPlist(text)) return
  throw new ExpectedError(`${plist} was not written by a2a-worker.`, {
    code: 'FOREIGN_UNIT',
    exit: 'cannotWrite',
    suggestions: ['Nothing was changed. Move it away if it is not needed, or give another name: --name NAME.'],
  })
}
