import type {Random} from './random.ts'

type Slot = {parent: Record<string, unknown> | unknown[]; key: string | number}

const oddValues: readonly unknown[] = [
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

/** Values that only JSON text can express, such as numbers beyond the range of a double. */
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

/** Sets an own property like JSON.parse, also for the name `__proto__`. */
const setSlot = ({parent, key}: Slot, value: unknown) =>
  Object.defineProperty(parent, key, {value, enumerable: true, writable: true, configurable: true})
const getSlot = ({parent, key}: Slot) => (parent as Record<string, unknown>)[key]

function removeSlot({parent, key}: Slot): void {
  if (Array.isArray(parent)) parent.splice(Number(key), 1)
  else delete parent[key]
}

function mutateValue(root: {value: unknown}, random: Random): void {
  const slots = slotsIn(root)
  if (slots.length === 0) return
  const slot = random.pick(slots)
  const other = random.pick(slots)
  switch (random.below(9)) {
    case 0:
      return removeSlot(slot)
    case 1: {
      const saved = getSlot(slot)
      setSlot(slot, structuredClone(getSlot(other)))
      return void setSlot(other, structuredClone(saved))
    }
    case 2:
      if (!Array.isArray(slot.parent))
        setSlot({parent: slot.parent, key: random.pick(oddKeys)}, structuredClone(random.pick(oddValues)))
      return
    case 3:
      return void setSlot(slot, [getSlot(slot)])
    case 4:
      if (Array.isArray(getSlot(slot)))
        return void setSlot(
          slot,
          Array.from({length: 1 + random.below(20)}, () => structuredClone(getSlot(slot))),
        )
      return void setSlot(slot, {[random.pick(oddKeys)]: getSlot(slot)})
    case 5:
      return void setSlot(slot, typeof getSlot(slot) === 'string' ? random.below(1e6) : JSON.stringify(getSlot(slot)))
    default:
      return void setSlot(slot, structuredClone(random.pick(oddValues)))
  }
}

/** The JSON text of a randomly changed value. Sometimes `JSON.stringify` could not produce it. */
export function mutateJson(value: unknown, random: Random): string {
  const root = {value: structuredClone(value)}
  for (let i = random.below(3); i >= 0; i--) mutateValue(root, random)
  const text = JSON.stringify(root.value) ?? 'null'
  if (random.chance(0.05)) return deepen(text, random)
  return random.chance(0.1) ? text.replace(/(?<=:)(?:\d+|null|"[^"]*")/, () => random.pick(rawValues)) : text
}

/** Nests one value so deeply that naive recursion overflows the stack. */
function deepen(text: string, random: Random): string {
  const levels = random.pick([50, 150, 5000, 100_000])
  const [open, close] = random.pick([
    ['[', ']'],
    ['{"a":', '}'],
  ] as const)
  const deep = `${open.repeat(levels)}1${close.repeat(levels)}`
  return random.chance(0.3) ? deep : text.replace(/(?<=[:[,])(?:\d+|null|true|false|"[^"]*")/, () => deep)
}
