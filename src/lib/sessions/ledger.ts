import {hash} from 'node:crypto'

/**
 * What was sent to a control plane: one line with id and fingerprint per item. Only the thread that reads sessions parses
 * it. Everything else passes it on as a string, which costs nothing at any length.
 */
export type Ledger = string

export function readLedger(text: Ledger): Map<string, string> {
  const known = new Map<string, string>()
  for (const line of text.split('\n')) {
    const blank = line.indexOf(' ')
    if (blank > 0) known.set(line.slice(0, blank), line.slice(blank + 1))
  }

  return known
}

export function writeLedger(known: ReadonlyMap<string, string>): Ledger {
  const lines: string[] = []
  for (const [id, print] of known) lines.push(`${id} ${print}`)
  return lines.join('\n')
}

export const isInLedger = (text: Ledger, id: string) => text.startsWith(`${id} `) || text.includes(`\n${id} `)

export const countOf = (text: Ledger) => (text === '' ? 0 : text.split('\n').length)

/** 72 bits: a change goes unnoticed with a probability of one in 10^21. */
export const fingerprint = (...texts: string[]) => hash('sha256', texts.join('\0'), 'base64url').slice(0, 12)
