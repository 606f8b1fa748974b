/** The address without a password, for people. */
export function withoutLogin(text: string): string {
  if (!URL.canParse(text)) return '(no address)'
  const url = new URL(text)
  return `${url.protocol}//${url.host}${url.pathname === '/' ? '' : url.pathname}`
}
