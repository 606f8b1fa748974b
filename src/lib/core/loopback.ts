import {BlockList, isIPv4, isIPv6} from 'node:net'

/** Whether only this machine can reach an address or a host name of a URL. */
export const isLoopback = (host: string): boolean => /^(127\.\d+\.\d+\.\d+|\[?::1\]?|(.+\.)?localhost\.?)$/i.test(host)

const networks = new BlockList()
for (const [address, bits] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['169.254.0.0', 16], // link-local
  ['100.64.0.0', 10], // between a provider and its customers, and overlay networks
] as const)
  networks.addSubnet(address, bits, 'ipv4')
networks.addSubnet('fc00::', 7, 'ipv6') // unique local
networks.addSubnet('fe80::', 10, 'ipv6') // link-local

/**
 * Whether a host of a URL is in a private network, as far as its address or its name tells: an address that the Internet
 * does not route, a name without a dot, or one of a private domain. Names are not looked up.
 */
export function isPrivateHost(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')
  if (isLoopback(bare)) return true
  if (isIPv4(bare)) return networks.check(bare, 'ipv4')
  if (isIPv6(bare)) return networks.check(bare, 'ipv6')
  return !bare.includes('.') || /\.(?:local|internal)$/i.test(bare)
}
