import {spawnSync} from 'node:child_process'

/**
 * Words to put before a command so that file permissions hold for it: root, which tests often are, reads and writes
 * everything by two capabilities, which this takes away.
 */
export const subjectToPermissions: string[] =
  process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--inh-caps=-all', '--'] : []

/** Can commands be run so here? */
export const canLosePermissions =
  subjectToPermissions.length === 0 ||
  spawnSync(subjectToPermissions[0] ?? '', [...subjectToPermissions.slice(1), 'true']).status === 0
