import type {Random} from './random.ts'

type Slot = {parent: Record<string, unknown> | unknown[]; key: string | number}

const odd: readonly unknown[] = [
  ...[
    null,
    true,
    false,
    0,
    -0,
    -1,
    1,
    1.5,
    1e308,
    -1e308,
    2 ** 53,
    2 ** 63,
    1e21,
    '',
    ' ',
    '0',
    'null',
    '\0',
    '\ud800',
  ],
  ...['a\nb', '\u001b[31m', '€'.repeat(300), 'x'.repeat(70_000), '../../etc/passwd', 'http://[', '__proto__', [], {}],
  ...[[[]], [null], {toString: 1}, {length: -1}, '1970-01-01T00:00:00Z', '+275760-09-13T00:00:00.001Z', '%'],
]

const oddKeys = ['__proto__', 'constructor', 'toString', 'length', '', '\0', 'id', 'data', 'then', '\ud800', '0']

/** A number that JSON can write and no program can hold, and the like: what only a text can say. */
const rawValues = ['1e999', '-1e999', '9007199254740993', '1E+400', '-0', '0.1e-400', String.raw`"\ud800"`, '"\u007f"']

function slotsIn(value: unknown): Slot[] {
  const found: Slot[] = []
  const queue = [value]
  for (let at = queue.pop(); at !== undefined && found.length < 500; at = queue.pop()) {
    if (typeof at !== 'object' || at === null) continue
    const parent = at as Record<string, unknown>
    for (const key of Object.keys(parent)) {
      found.push({parent, key})
      queue.push(parent[key])
    }
  }

  return found
}

/** As JSON does it: an own property also where the name is `__proto__`. */
const set = ({parent, key}: Slot, value: unknown) =>
  Object.defineProperty(parent, key, {value, enumerable: true, writable: true, configurable: true})
const get = ({parent, key}: Slot) => (parent as Record<string, unknown>)[key]

function remove({parent, key}: Slot): void {
  if (Array.isArray(parent)) parent.splice(Number(key), 1)
  else delete parent[key]
}

function change(root: {value: unknown}, random: Random): void {
  const slots = slotsIn(root)
  if (slots.length === 0) return
  const slot = random.pick(slots)
  const other = random.pick(slots)
  switch (random.below(9)) {
    case 0:
      return remove(slot)
    case 1: {
      const kept = get(slot)
      set(slot, structuredClone(get(other)))
      return void set(other, structuredClone(kept))
    }
    case 2:
      if (!Array.isArray(slot.parent))
        set({parent: slot.parent, key: random.pick(oddKeys)}, structuredClone(random.pick(odd)))
      return
    case 3:
      return void set(slot, [get(slot)])
    case 4:
      if (Array.isArray(get(slot)))
        return void set(
          slot,
          Array.from({length: 1 + random.below(20)}, () => structuredClone(get(slot))),
        )
      return void set(slot, {[random.pick(oddKeys)]: get(slot)})
    case 5:
      return void set(slot, typeof get(slot) === 'string' ? random.below(1e6) : JSON.stringify(get(slot)))
    default:
      return void set(slot, structuredClone(random.pick(odd)))
  }
}

/** The text of a value that was changed here and there; sometimes it is no JSON any more that `JSON.parse` could give. */
export function mutateJson(value: unknown, random: Random): string {
  const root = {value: structuredClone(value)}
  for (let i = random.below(3); i >= 0; i--) change(root, random)
  const text = JSON.stringify(root.value) ?? 'null'
  if (random.chance(0.05)) return deepen(text, random)
  return random.chance(0.1) ? text.replace(/(?<=:)(?:\d+|null|"[^"]*")/, () => random.pick(rawValues)) : text
}

/** One of its values becomes so deep that a careless walk over it ends the stack. */
function deepen(text: string, random: Random): string {
  const levels = random.pick([50, 150, 5000, 100_000])
  const [open, close] = random.pick([
    ['[', ']'],
    ['{"a":', '}'],
  ] as const)
  const deep = `${open.repeat(levels)}1${close.repeat(levels)}`
  return random.chance(0.3) ? deep : text.replace(/(?<=[:[,])(?:\d+|null|true|false|"[^"]*")/, () => deep)
}
