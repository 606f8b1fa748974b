/**
 * A page with a new text between `<!-- generated: NAME -->` and the next `<!-- end -->`.
 * @param {string} page
 * @param {string} name
 * @param {string} text
 */
export function replacePart(page, name, text) {
  const begin = `<!-- generated: ${name} -->\n`
  const from = page.indexOf(begin)
  const to = page.indexOf('<!-- end -->', from)
  if (from < 0 || to < 0) throw new Error(`The page has no part ${begin}`)
  return `${page.slice(0, from)}${begin}\n${text}\n\n${page.slice(to)}`
}
