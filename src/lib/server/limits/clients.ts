import {isIPv6} from 'node:net'
import {isLoopback} from '../../core/loopback.ts'
import type {Client} from '../http/app-env.ts'
import type {Identity} from '../http/auth.ts'

/**
 * A valid token counts, whatever its address: behind a proxy all clients share one. Without a token it is the address.
 */
export function clientOf(identity: Identity | undefined, address: string | undefined): Client {
  if (identity) {
    const name = identity.name ? `token ${identity.name}` : 'the unnamed token'
    return {key: `token ${identity.hash}`, name, isFree: false}
  }

  const source = sourceOf(address)
  return {key: `address ${source}`, name: source, isFree: isLoopback(source) || source === loopbackNetwork}
}

/** The address without the part that its owner chooses: of IPv6, everybody has a network of 64 bits. */
export function sourceOf(address: string | undefined): string {
  if (address === undefined) return 'unknown'
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  return isIPv6(address) ? networkOf(address) : address
}

/** `::1`, in the form of `sourceOf`. */
const loopbackNetwork = '0:0:0:0::/64'

function networkOf(address: string): string {
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::')
  const words = (text: string) => (text === '' ? [] : text.split(':'))
  const [left, right] = [words(head), words(tail ?? '')]
  const all =
    tail === undefined
      ? left
      : [...left, ...Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0'), ...right]
  return `${all
    .slice(0, 4)
    .map((word) => Number.parseInt(word, 16).toString(16))
    .join(':')}::/64`
}
