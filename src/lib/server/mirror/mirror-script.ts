import type {Redis} from 'ioredis'

/**
 * Writes or removes one key, if that is ours: it does not exist, or has exactly what we have written last. The record has
 * the digest of that, by key. So a key that somebody else has made, or has changed since, is never touched.
 *
 * KEYS: the record, the key. ARGV: what it is to be (string, set or none), and its value or members.
 * Returns 1 (it is as wanted) or 0 (it is somebody else's).
 */
const lua = `
local record, key, wanted = KEYS[1], KEYS[2], ARGV[1]
local function digest(kind, values)
  if kind == 'set' then table.sort(values) end
  return kind .. ' ' .. redis.sha1hex(table.concat(values, '\\n'))
end
local known = redis.call('HGET', record, key)
local kind = redis.call('TYPE', key).ok
if kind ~= 'none' then
  local values = {}
  if kind == 'string' then values = {redis.call('GET', key)} end
  if kind == 'set' then values = redis.call('SMEMBERS', key) end
  if digest(kind, values) ~= known then
    redis.call('HDEL', record, key)
    return 0
  end
end
if wanted == 'none' then
  redis.call('DEL', key)
  redis.call('HDEL', record, key)
  return 1
end
local values = {}
for i = 2, #ARGV do values[i - 1] = ARGV[i] end
local new = digest(wanted, values)
if kind ~= 'none' and new == known then return 1 end
redis.call('HSET', record, key, new)
redis.call('DEL', key)
if wanted == 'string' then redis.call('SET', key, ARGV[2]) end
if wanted == 'set' then for _, member in ipairs(values) do redis.call('SADD', key, member) end end
return 1
`

/** What a key is to be: a text, a set, or nothing. */
export type MirrorValue = string | readonly string[] | undefined

/** Returns the function that writes a key. Resolves with false if the key is somebody else's. */
export function mirrorWriter(redis: Redis, record: string): (key: string, value: MirrorValue) => Promise<boolean> {
  redis.defineCommand('a2aMirror', {numberOfKeys: 2, lua})
  const send = redis as Redis & {a2aMirror(record: string, key: string, ...more: string[]): Promise<number>}
  return async (key, value) => {
    const isNothing = value === undefined || value.length === 0 // Redis has no empty sets
    const args = isNothing ? ['none'] : typeof value === 'string' ? ['string', value] : ['set', ...value]
    return (await send.a2aMirror(record, key, ...args)) === 1
  }
}
