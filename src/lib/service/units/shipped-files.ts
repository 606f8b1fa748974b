import {basename, join} from 'node:path'
import {exampleConfig} from '../../config/example-config.ts'
import {agentsFile, systemLayout, unitFile} from '../machine/layout.ts'
import {agentsUnit, workerUnit} from './units.ts'

/** The example files in the package: text by path in the package. `npm run manifest` writes them. */
export function shippedFiles(): Record<string, string> {
  const layout = systemLayout()
  return {
    'config.example.json': `${JSON.stringify(exampleConfig(), null, 2)}\n`,
    [join('docs', basename(unitFile(layout)))]: workerUnit(layout),
    [join('docs', basename(agentsFile(layout)))]: agentsUnit(layout),
  }
}
