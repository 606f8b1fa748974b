/**
 * Words to put before a command so that file permissions hold for it: root, which tests often are, reads and writes
 * everything by two capabilities, which this takes away.
 */
export const subjectToPermissions: string[] =
  process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--inh-caps=-all', '--'] : []
