import type {Redis} from 'ioredis'

/** What the settings of a Redis mean for what was acknowledged, for people. */
export type Persistence = {
  lines: {level: 'info' | 'warn'; text: string}[]
  /** Why this Redis must not be used. */
  problem: string | undefined
}

/** Reads the settings, if CONFIG and INFO are allowed. */
export async function persistenceOf(redis: Redis): Promise<Persistence> {
  try {
    const wanted = ['appendonly', 'appendfsync', 'maxmemory-policy', 'maxmemory'] as const
    const found = new Map<string, string>()
    for (const name of wanted) {
      const [key, value] = (await redis.config('GET', name)) as string[]
      if (key !== undefined) found.set(key, value ?? '')
    }

    const replicas = Number(/^connected_slaves:(\d+)/m.exec(await redis.info('replication'))?.[1] ?? 0)
    const [appendonly = '', appendfsync = '', policy = '', maxmemory = '0'] = wanted.map((name) => found.get(name))
    return describe({appendonly, appendfsync, policy, replicas, isLimited: maxmemory !== '0'})
  } catch (error) {
    if (!/NOPERM|unknown command|ERR/i.test(String(error))) throw error
    const text =
      'Redis does not tell its settings (CONFIG is forbidden). It must have appendonly yes, appendfsync always, and maxmemory-policy noeviction'
    return {lines: [{level: 'warn', text}], problem: undefined}
  }
}

type Settings = {appendonly: string; appendfsync: string; policy: string; replicas: number; isLimited: boolean}

function describe({appendonly, appendfsync, policy, replicas, isLimited}: Settings): Persistence {
  const lines: Persistence['lines'] = [saving(appendonly, appendfsync)]
  if (replicas > 0)
    lines.push({
      level: 'warn',
      text: `Redis has ${replicas} replica(s): they follow a moment later, so a failover may lose what was acknowledged last`,
    })
  const evicts = policy !== 'noeviction'
  const problem = evicts
    ? `maxmemory-policy is ${policy}${isLimited ? '' : ' (without effect while maxmemory is 0)'}: Redis would delete parts of the state when its memory is full`
    : undefined
  return {lines, problem}
}

function saving(appendonly: string, appendfsync: string): Persistence['lines'][number] {
  if (appendonly !== 'yes')
    return {
      level: 'warn',
      text: 'Redis has appendonly no: a restart of it loses what was acknowledged since its last snapshot',
    }
  if (appendfsync === 'always')
    return {level: 'info', text: 'Redis has appendfsync always: all that is acknowledged survives a crash of it'}
  const most = appendfsync === 'everysec' ? 'about a second' : 'many seconds'
  return {
    level: 'warn',
    text: `Redis has appendfsync ${appendfsync}: a crash of its machine may lose ${most} of what was acknowledged`,
  }
}
