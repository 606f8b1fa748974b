// oxlint-disable-next-line no-control-regex -- ESC and BEL are the point
const escapes = /\u001b\[[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|\u001b[@-_]/g

/** The text without the escape sequences of terminals: colours, cursor movements, window titles. */
export const withoutEscapes = (text: string): string => text.replaceAll(escapes, '')
