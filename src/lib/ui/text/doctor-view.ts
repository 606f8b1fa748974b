import type {Finding, FindingState} from '../../doctor/finding.ts'
import {plainLine} from '../../core/text/plain-line.ts'

const marks: Record<FindingState, string> = {ok: '✓', warning: '!', problem: '✗', skipped: '-'}

/** One line per finding, with its fixes below. */
export const findingLines = (findings: readonly Finding[]): string =>
  findings
    .flatMap(({check, state, text, fixes}) => [
      `${marks[state]} ${check}: ${plainLine(text, 400)}`,
      ...fixes.map((fix) => `    → ${fix}`),
    ])
    .join('\n')
