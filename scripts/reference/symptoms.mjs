import {checks} from '../../dist/lib/doctor/checks.js'
import {code, table} from './table.mjs'

/** The table of symptoms in docs/operate.md: one row per check of `doctor`. */
export const symptomTable = () =>
  table(
    ['symptom', 'check', 'it looks at', 'what to do'],
    Object.entries(checks).map(([name, {symptom, looks, remedy}]) => [symptom, code(name), looks, remedy]),
  )
