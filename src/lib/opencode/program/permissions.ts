import {configError} from '../../core/errors.ts'
import {parseJson} from '../../protocol/parse.ts'

/** An action for everything, or actions by pattern: of those that match, OpenCode takes the last. */
type Rules = Record<string, unknown>

/**
 * Permissions under which OpenCode never asks. A question that nobody answers is rejected, and that ends the task
 * half done with exit code 0; a denial is told to the model, which goes on. So all that OpenCode would ask about by
 * default is denied, but for the run's own temporary folder.
 */
const neverAsk = (tmpDir: string): Rules => ({
  external_directory: {'*': 'deny', [tmpDir]: 'allow', [`${tmpDir}/*`]: 'allow'},
  doom_loop: 'deny',
  read: {'*': 'allow', '*.env': 'deny', '*.env.*': 'deny', '*.env.example': 'allow'},
})

/**
 * The value of `OPENCODE_PERMISSION`: ours, then the `permissions` setting, then what the operator has put into that
 * variable. Later ones win.
 */
export function permissionRules(tmpDir: string, setting: unknown, variable: string | undefined): Rules {
  let rules = neverAsk(tmpDir)
  if (setting !== undefined) rules = merge(rules, toRules(setting, 'the setting `permissions`'))
  if (variable) rules = merge(rules, toRules(parseJson(variable), 'OPENCODE_PERMISSION'))
  return rules
}

const isObject = (value: unknown): value is Rules =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function toRules(value: unknown, source: string): Rules {
  if (isObject(value)) return value
  if (value === 'allow' || value === 'ask' || value === 'deny') return {'*': value}
  throw configError(`${source} must be allow, ask, deny or a JSON object`, 'Example: {"bash": {"git push*": "deny"}}')
}

/** What comes later goes last in its object too, since order decides. */
function merge(ours: Rules, theirs: Rules): Rules {
  const merged = {...ours}
  for (const [key, value] of Object.entries(theirs)) {
    const before = merged[key]
    delete merged[key]
    merged[key] = isObject(value) && before !== undefined ? mergePatterns(before, value) : value
  }

  return merged
}

function mergePatterns(before: unknown, theirs: Rules): Rules {
  const patterns: Rules = isObject(before) ? {...before} : {'*': before}
  for (const [pattern, action] of Object.entries(theirs)) {
    delete patterns[pattern]
    patterns[pattern] = action
  }

  return patterns
}
