import {configError} from '../../core/errors.ts'
import {parseJson} from '../../protocol/parse.ts'

/** Actions by tool and pattern. Of the matching patterns, OpenCode uses the last. */
type Rules = Record<string, unknown>

/**
 * Permissions under which OpenCode never asks. A question that nobody answers is rejected, which ends the task half done
 * with exit code 0. After a denial the model continues. So everything that OpenCode asks about by default is denied,
 * except access to the run's temporary folder.
 */
const defaultRules = (tmpDir: string): Rules => ({
  external_directory: {'*': 'deny', [tmpDir]: 'allow', [`${tmpDir}/*`]: 'allow'},
  doom_loop: 'deny',
  read: {'*': 'allow', '*.env': 'deny', '*.env.*': 'deny', '*.env.example': 'allow'},
})

/**
 * The value of `OPENCODE_PERMISSION`: our rules, then the setting `permissions`, then the operator's own value of the
 * variable. Later rules override. Throws ExpectedError (78) for malformed rules.
 */
export function permissionRules(tmpDir: string, setting: unknown, variable: string | undefined): Rules {
  let rules = defaultRules(tmpDir)
  if (setting !== undefined) rules = merge(rules, toRules(setting, 'the setting `permissions`'))
  if (variable) rules = merge(rules, toRules(parseJson(variable), 'OPENCODE_PERMISSION'))
  return rules
}

/** Whether OpenCode may ask a person under these rules. */
export const mayAsk = (setting: unknown, variable: string | undefined): boolean =>
  JSON.stringify(permissionRules('/tmp', setting, variable)).includes('"ask"')

const isObject = (value: unknown): value is Rules =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function toRules(value: unknown, source: string): Rules {
  if (isObject(value)) return value
  if (value === 'allow' || value === 'ask' || value === 'deny') return {'*': value}
  throw configError(`${source} must be allow, ask, deny or a JSON object`, 'Example: {"bash": {"git push*": "deny"}}')
}

/** Later rules are also last in the object, because their order decides. */
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
