import {userInfo} from 'node:os'

/** Name of this process's user, or its uid if passwd has no entry for it, as in many containers. */
export function userName(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.getuid?.() ?? '')
  }
}
