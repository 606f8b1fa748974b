/** A fenced block of a page. `info` is what follows the fence: `sh`, `text output`. `line` counts from 1. */
export type Block = {info: string; text: string; line: number}

/** The fenced blocks of a page, in order. */
export function blocksOf(page: string): Block[] {
  const blocks: Block[] = []
  let open: Block | undefined
  for (const [index, line] of page.split('\n').entries()) {
    const fence = /^ *```(.*)$/.exec(line)
    if (open && fence) {
      blocks.push(open)
      open = undefined
    } else if (open) open.text += `${line.trimEnd()}\n`
    else if (fence) open = {info: fence[1] ?? '', text: '', line: index + 1}
  }
  return blocks
}

/** The inline code of a page, outside of its fenced blocks. */
export function inlineCodeOf(page: string): string[] {
  const outside = page.replaceAll(/^ *```[^]*?^ *```$/gm, '')
  return [...outside.matchAll(/(?<!`)`([^`\n]+)`(?!`)/g)].map(([, code = '']) => code)
}

/** The targets of links and pictures of a page that are files of the repository. */
export const linksOf = (page: string): string[] =>
  [...page.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target).filter((target) => !/^[a-z]+:/.test(target))

/** The anchors that GitHub gives to the headings of a page. */
export const anchorsOf = (page: string): string[] =>
  page
    .split('\n')
    .filter((line) => /^#+ /.test(line))
    .map((line) =>
      line
        .replace(/^#+ /, '')
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    )
