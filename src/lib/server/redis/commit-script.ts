import type {Redis} from 'ioredis'

/**
 * The only script: it appends an entry if nothing was appended since the caller has looked. It writes twice, and the
 * first write fails first if there is no memory.
 *
 * KEYS: head, log. ARGV: the expected head, then of an entry: its head, its id in the stream, its own id, its text.
 * Returns 1 or 0 (the head is another), the time of Redis (s, µs), and the head.
 */
const lua = `
local head = redis.call('GET', KEYS[1]) or ''
local time = redis.call('TIME')
if head ~= ARGV[1] then return {0, time[1], time[2], head} end
if ARGV[2] then
  redis.call('XADD', KEYS[2], ARGV[3], 'id', ARGV[4], 'entry', ARGV[5])
  redis.call('SET', KEYS[1], ARGV[2])
  head = ARGV[2]
end
return {1, time[1], time[2], head}
`

export const commitCommand = 'a2aCommit'

export type CommitCommand = {
  [commitCommand](head: string, log: string, ...more: string[]): Promise<[number, string, string, string]>
}

/** Adds the script to a connection as a command, which sends the script again to a Redis that has restarted. */
export function withCommit(redis: Redis): Redis & CommitCommand {
  redis.defineCommand(commitCommand, {numberOfKeys: 2, lua})
  return redis as Redis & CommitCommand
}
