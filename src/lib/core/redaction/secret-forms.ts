/** A shorter secret would match parts of ordinary words. */
const minLength = 6
/** A line of a secret of several lines counts as a secret itself from this length on. */
const minLineLength = 10

/**
 * The texts in which a secret may appear: as it is, within JSON (once and twice), in a URL, in base64 at each alignment,
 * in hex. Of a secret of several lines, for example a private key, each line counts as well.
 */
export function formsOf(secret: string): string[] {
  const lines = secret.includes('\n') ? secret.split('\n').map((line) => line.trim()) : []
  const all = [secret, ...lines.filter((line) => line.length >= minLineLength)]
  return [...new Set(all.flatMap(formsOfOne))]
}

function formsOfOne(secret: string): string[] {
  if (secret.length < minLength) return []
  const inJson = escapedInJson(secret)
  const bytes = Buffer.from(secret)
  const hex = bytes.toString('hex')
  const forms = [
    secret,
    inJson,
    escapedInJson(inJson),
    ...urlForms(secret),
    hex,
    hex.toUpperCase(),
    ...base64Forms(bytes),
  ]
  return forms.filter((form) => form.length >= minLength)
}

const escapedInJson = (text: string) => JSON.stringify(text).slice(1, -1)

function urlForms(secret: string): string[] {
  const whole = secret.isWellFormed() ? encodeURIComponent(secret) : secret
  const strict = whole.replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
  const lower = (text: string) => text.replaceAll(/%[0-9A-F]{2}/g, (code) => code.toLowerCase())
  return [whole, strict, lower(whole), lower(strict), strict.replaceAll('%20', '+')]
}

/** What of a secret is the same in base64 whatever stands before and after it, for each of the three alignments. */
function base64Forms(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replaceAll('=', '')
    const fixedFrom = Math.ceil((before * 8) / 6)
    const fixedTo = Math.floor(((before + bytes.length) * 8) / 6)
    const fixed = text.slice(fixedFrom, fixedTo)
    // shorter ones would match ordinary words
    return fixed.length < minLength + 2 ? [] : [fixed, fixed.replaceAll('+', '-').replaceAll('/', '_')]
  })
}
