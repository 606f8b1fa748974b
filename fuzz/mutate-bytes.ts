import type {Random} from './random.ts'

type Mutation = (bytes: Buffer, random: Random, other: Buffer) => Buffer

/** Pieces that parsers may mishandle: line ends, terminators, a byte order mark, and the syntax of JSON and SSE. */
const pieces = [
  ...['\0', '\n', '\r', '\r\n', '\n\n', '\r\n\r\n', '\u2028', '\ufeff', '\u001b[2J', '"', '\\', '{', '}', '[', ']'],
  ...[':', ',', 'data:', 'event: ', 'id: ', 'retry: 0\n', ': ', 'null', 'true', '-0', '1e999', '9007199254740993'],
  ...[String.raw`\ud800`, String.raw`\u0000`, '"__proto__":', '"constructor":{"prototype":1},', '../../..', '%00', '%'],
].map((text) => Buffer.from(text))
const brokenUtf8 = ['ff', 'c0af', 'eda080', 'f4908080', 'e282', 'f09f98', '80', 'fe'].map((hex) =>
  Buffer.from(hex, 'hex'),
)

const insert = (bytes: Buffer, at: number, piece: Buffer) =>
  Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)])

function randomRange(bytes: Buffer, random: Random): [from: number, to: number] {
  const from = random.below(bytes.length + 1)
  return [from, from + random.below(Math.min(bytes.length - from, 200) + 1)]
}

const mutations: Mutation[] = [
  (bytes, random) => {
    const copy = Buffer.from(bytes)
    for (let i = random.below(8); i >= 0 && copy.length > 0; i--) {
      const at = random.below(copy.length)
      copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8))
    }
    return copy
  },
  (bytes, random) => {
    const copy = Buffer.from(bytes)
    if (copy.length > 0) copy[random.below(copy.length)] = random.below(256)
    return copy
  },
  (bytes, random) => bytes.subarray(0, random.below(bytes.length + 1)),
  (bytes, random) => bytes.subarray(random.below(bytes.length + 1)),
  (bytes, random) => {
    const [from, to] = randomRange(bytes, random)
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)])
  },
  (bytes, random) => {
    const [from, to] = randomRange(bytes, random)
    return insert(bytes, to, bytes.subarray(from, to))
  },
  (bytes, random, other) =>
    Buffer.concat([bytes.subarray(0, random.below(bytes.length + 1)), other.subarray(random.below(other.length + 1))]),
  (bytes, random) => insert(bytes, random.below(bytes.length + 1), random.pick(pieces)),
  (bytes, random) => insert(bytes, random.below(bytes.length + 1), random.pick(brokenUtf8)),
  (bytes, random) =>
    Buffer.from(bytes.toString('latin1').replaceAll('\n', random.pick(['\r\n', '\r', '\n\r', ''])), 'latin1'),
  (bytes, random) => insert(bytes, random.below(bytes.length + 1), longPiece(random)),
]

/** Usually some KB, sometimes more than the limits of lines and events. */
function longPiece(random: Random): Buffer {
  if (random.chance(0.002)) return Buffer.alloc(9 * 1024 * 1024, random.pick(['a', '€', '\0']))
  // Brackets only here, because `JSON.parse` takes seconds for millions of nested lists.
  return Buffer.alloc(1 + random.below(20_000), random.pick(['a', '€', '\0', '[', '<', ' ']))
}

/** Makes one to four changes. `other` is a second sample to splice in. */
export function mutateBytes(bytes: Buffer, random: Random, other: Buffer = bytes): Buffer {
  let result = bytes
  for (let i = random.below(4); i >= 0; i--) result = random.pick(mutations)(result, random, other)
  return result
}

/** The same bytes in pieces that end anywhere. */
export function* chunks(bytes: Buffer, random: Random): Generator<Buffer> {
  const maxLength = bytes.length > 100_000 ? 65_536 : random.pick([1, 3, 20, 1000, 65_536])
  for (let at = 0; at < bytes.length;) {
    const length = 1 + random.below(maxLength)
    yield bytes.subarray(at, at + length)
    at += length
  }
}
