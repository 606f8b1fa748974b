import type {Redis} from 'ioredis'

/**
 * The only script: it appends an entry if nothing was appended since the caller has looked. It writes the entry first, and
 * that fails first if there is no memory. Whoever was too late several times asks for the next turn: for a moment nobody
 * else may append. Without that a replica that is a little slower might never be in time.
 *
 * A Redis that is no master any more would answer reads, with what it knows: so it begins with a write without effect.
 *
 * KEYS: head, log, turn. ARGV: the expected head, the caller, whether it asks for a turn (1), for how long (ms), then of
 * an entry: its head, its id in the stream, its own id, its text.
 * Returns 1 (done), 0 (the head is another) or 2 (it is the turn of another), the time of Redis (s, µs), and the head.
 */
const lua = `
local mayWrite = redis.pcall('PERSIST', KEYS[1])
if type(mayWrite) == 'table' and mayWrite.err and string.find(mayWrite.err, 'READONLY') then
  return redis.error_reply('READONLY this Redis follows another one')
end
local head = redis.call('GET', KEYS[1]) or ''
local time = redis.call('TIME')
if head ~= ARGV[1] then
  if ARGV[3] == '1' then redis.call('SET', KEYS[3], ARGV[2], 'NX', 'PX', ARGV[4]) end
  return {0, time[1], time[2], head}
end
local turn = redis.call('GET', KEYS[3])
if ARGV[5] then
  if turn and turn ~= ARGV[2] then return {2, time[1], time[2], head} end
  redis.call('XADD', KEYS[2], ARGV[6], 'id', ARGV[7], 'entry', ARGV[8])
  redis.call('SET', KEYS[1], ARGV[5])
  head = ARGV[5]
end
if turn == ARGV[2] then redis.call('DEL', KEYS[3]) end
return {1, time[1], time[2], head}
`

export const commitCommand = 'a2aCommit'

export type CommitCommand = {
  [commitCommand](head: string, log: string, turn: string, ...more: string[]): Promise<[number, string, string, string]>
}

/** Adds the script to a connection as a command, which sends the script again to a Redis that has restarted. */
export function withCommit(redis: Redis): Redis & CommitCommand {
  redis.defineCommand(commitCommand, {numberOfKeys: 3, lua})
  return redis as Redis & CommitCommand
}
