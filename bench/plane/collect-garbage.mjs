// Preloaded into a control plane: on SIGUSR2 its garbage is collected, so that its memory can be compared.
import {setFlagsFromString} from 'node:v8'
import {runInNewContext} from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')
process.on('SIGUSR2', () => collect())
