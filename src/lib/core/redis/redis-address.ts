/** Where a Redis server, a Sentinel or a node of a Cluster listens. */
export type RedisNode = {host: string; port: number}

export type RedisAddress = {
  /** `sentinel`: the Redis that the Sentinels at `nodes` name. `cluster`: one of the nodes tells where a key is. */
  kind: 'server' | 'sentinel' | 'cluster'
  isSecure: boolean
  nodes: RedisNode[]
  username: string | undefined
  password: string | undefined
  /** By which Sentinels know the Redis. */
  name: string
  sentinelPassword: string | undefined
  db: number
}

const example = 'must be an address like redis://host:6379 (or rediss:// with TLS)'
const ports = {server: 6379, sentinel: 26_379, cluster: 6379}

/** Why a text is no address of a Redis, or undefined if it is one. */
export function redisUrlProblem(text: string): string | undefined {
  const address = parse(text)
  if (typeof address === 'string') return address
  const {kind, name, db} = address
  if (kind === 'sentinel' && name === '')
    return 'must name the Redis that the Sentinels watch: redis+sentinel://host:26379/NAME'
  if (kind === 'cluster' && db !== 0) return 'must have no database: a Cluster has only one'
  return undefined
}

/** Reads an address without a problem. Throws what is a bug for others. */
export function readRedisUrl(text: string): RedisAddress {
  const address = parse(text)
  if (typeof address === 'string') throw new Error(`The address of Redis ${address}`)
  return address
}

/** The address of a Cluster with the node at this address. */
export const clusterUrl = (text: string): string => text.replace(/^(rediss?):/, '$1+cluster:')

/** The address without passwords, for people. */
export function withoutLogin(text: string): string {
  const address = parse(text)
  if (typeof address === 'string') return '(no address)'
  const {kind, isSecure, nodes, name} = address
  const scheme = `${isSecure ? 'rediss' : 'redis'}${kind === 'server' ? '' : `+${kind}`}`
  const database = address.db === 0 ? '' : `/${address.db}`
  return `${scheme}://${nodes.map(nodeText).join(',')}${name === '' ? '' : `/${name}`}${database}`
}

/** A node as in an address. */
export const nodeText = ({host, port}: RedisNode): string => `${host.includes(':') ? `[${host}]` : host}:${port}`

/** User and password of the Redis, as text to compare. Empty without any. */
export function loginOf(text: string): string {
  const address = parse(text)
  if (typeof address === 'string') return ''
  const {username, password} = address
  return username === undefined && password === undefined ? '' : `${username ?? ''}:${password ?? ''}`
}

/** Whether an address contains a password. */
export function hasPassword(text: string): boolean {
  const address = parse(text)
  return typeof address !== 'string' && (address.password ?? address.sentinelPassword ?? '') !== ''
}

const shape =
  /^(?<scheme>rediss?)(?:\+(?<kind>sentinel|cluster))?:\/\/(?:(?<login>[^@/]*)@)?(?<nodes>[^/?#]+)(?<path>\/[^?#]*)?(?:\?(?<query>[^#]*))?$/

/** Returns a problem as text. */
function parse(text: string): RedisAddress | string {
  const found = shape.exec(text)?.groups
  if (!found) return example
  const {
    scheme,
    kind = 'server',
    login,
    nodes = '',
    path = '',
    query = '',
  } = found as Record<string, string | undefined>
  const known = nodes.split(',').map((node) => parseNode(node, ports[kind as RedisAddress['kind']]))
  if (known.some((node) => node === undefined) || (kind === 'server' && (known.length > 1 || !URL.canParse(text))))
    return example
  try {
    const [user = '', ...password] = (login ?? '').split(':')
    const parts = path.split('/').slice(1).map(decodeURIComponent)
    const [name = '', database = '0'] = kind === 'sentinel' ? parts : ['', parts[0] || '0']
    return {
      kind: kind as RedisAddress['kind'],
      isSecure: scheme === 'rediss',
      nodes: known.filter((node) => node !== undefined),
      username: user === '' ? undefined : decodeURIComponent(user),
      password: password.length === 0 ? undefined : decodeURIComponent(password.join(':')),
      name,
      sentinelPassword: new URLSearchParams(query).get('sentinelPassword') ?? undefined,
      db: /^\d+$/.test(database) ? Number(database) : 0,
    }
  } catch {
    return example // a bad escape
  }
}

function parseNode(text: string, defaultPort: number): RedisNode | undefined {
  const url = URL.canParse(`http://${text}`) ? new URL(`http://${text}`) : undefined
  if (!url || url.hostname === '' || url.pathname !== '/') return undefined
  const port = /:(\d+)$/.exec(text)?.[1] // the URL omits 80
  return {host: url.hostname.replaceAll(/[[\]]/g, ''), port: port === undefined ? defaultPort : Number(port)}
}
