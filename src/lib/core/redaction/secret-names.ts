/** Names of variables whose values are secrets. */
export const secretName = /KEY|TOKEN|SECRET|PASSW|CREDENTIAL/i

/** The passwords of URLs in a text, as they stand there and decoded. */
export function passwordsIn(text: string): string[] {
  return [...text.matchAll(/\b[a-z][a-z0-9+.-]*:\/\/[^\s/@:]*:([^\s/@]+)@/gi)].flatMap(([, password = '']) => {
    try {
      return [password, decodeURIComponent(password)]
    } catch {
      return [password]
    }
  })
}
