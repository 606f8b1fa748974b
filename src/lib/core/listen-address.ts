export type ListenAddress = {host: string; port: number}

const maxPort = 65_535

/** Reads `PORT` (on loopback), `HOST:PORT` or `[IPV6]:PORT`. Undefined if it is none of these. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const [, bracketed, plain, digits] =
    /^(?:(?:\[([\da-f:.%\w]+)\]|([^\s:[\]/@]+)):)?(\d{1,5})$/i.exec(text.trim()) ?? []
  const port = Number(digits)
  if (digits === undefined || port > maxPort) return undefined
  return {host: bracketed ?? plain ?? '127.0.0.1', port}
}

/** The address as part of a URL. */
export const addressText = ({host, port}: ListenAddress): string => `${host.includes(':') ? `[${host}]` : host}:${port}`
