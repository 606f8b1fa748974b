/** Why a task stream was lost, told from the reason for people, which the client and the stream loop write. */
const reasons: readonly [reason: string, pattern: RegExp][] = [
  ['ended', /^the server ended the stream/],
  ['forgotten', /does not know this stream/],
  ['settings', /^the codebases have changed|token has changed|settings/],
  ['silent', /stalled|within the time limit/],
  ['refused', /\b(?:401|403|409|429|5\d\d)\b/],
  ['network', /The task stream broke|nothing listens|connection|reached|host name|looked up/i],
]

const maxChars = 500

/** Why a task stream was lost: one of a few words. */
export const reconnectReason = (text: string): string =>
  reasons.find(([, pattern]) => pattern.test(text.slice(0, maxChars)))?.[0] ?? 'other'
