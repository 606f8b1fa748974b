import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {renderMetrics} from '../../dist/lib/metrics/metrics-page.js'
import {referencePage} from './reference.mjs'
import {replacePart} from './replace-part.mjs'
import {symptomTable} from './symptoms.mjs'

/**
 * The pages of the documentation that are generated, wholly or in part: text by path.
 * @param {string} root
 * @returns {Record<string, string>}
 */
export function generatedPages(root) {
  const read = (path) => readFileSync(join(root, path), 'utf8')
  return {
    'docs/metrics.md': renderMetrics(read('docs/metrics.md')),
    'docs/operate.md': replacePart(read('docs/operate.md'), 'symptoms', symptomTable()),
    'docs/reference.md': referencePage(JSON.parse(read('oclif.manifest.json'))),
  }
}
