/** The colours of a terminal: the 16 of ANSI, then those of the palette of 256. */
const ansi = [
  ...['#1b1f24', '#d1505a', '#57ab5a', '#c69026', '#539bf5', '#b083f0', '#39c5cf', '#adbac7'],
  ...['#636e7b', '#e5686f', '#6bc46d', '#daaa3f', '#6cb6ff', '#dcbdfb', '#56d4dd', '#cdd9e5'],
]
const colours = {back: '#1b1f24', text: '#cdd9e5'}
const cell = {width: 8.4, height: 18, size: 14, margin: 12}

/**
 * Draws what `tmux capture-pane -e` has printed.
 * @param {string} screen
 * @param {{columns: number, rows: number}} size
 */
export function terminalSvg(screen, {columns, rows}) {
  const width = Math.ceil(columns * cell.width + 2 * cell.margin)
  const height = rows * cell.height + 2 * cell.margin
  const drawn = screen
    .replace(/\n$/, '')
    .split('\n')
    .slice(0, rows)
    .map((line, row) => drawLine(runsOf(line), row))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${cell.size}">
<rect width="100%" height="100%" rx="8" fill="${colours.back}"/>
${drawn.filter(Boolean).join('\n')}
</svg>
`
}

function drawLine(runs, row) {
  const y = cell.margin + row * cell.height
  return runs
    .map(({text, at, style}) => {
      const x = (cell.margin + at * cell.width).toFixed(1)
      const length = ([...text].length * cell.width).toFixed(1)
      const [fill, back] = style.inverse
        ? [style.back ?? colours.back, style.text ?? colours.text]
        : [style.text ?? colours.text, style.back]
      const box = back ? `<rect x="${x}" y="${y}" width="${length}" height="${cell.height}" fill="${back}"/>` : ''
      if (text.trim() === '') return box
      const look = `${style.bold ? ' font-weight="bold"' : ''}${style.dim ? ' opacity="0.6"' : ''}`
      return `${box}<text x="${x}" y="${y + 14}" textLength="${length}" xml:space="preserve" fill="${fill}"${look}>${escape(text)}</text>`
    })
    .join('')
}

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/* oxlint-disable no-control-regex -- escape sequences begin with one */
const link = /\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)/g
const colour = /(\u001b\[[0-9;:]*m)/
const oneColour = /^\u001b\[([0-9;:]*)m$/
/* oxlint-enable no-control-regex */

/** The parts of a line that look alike. Links (OSC 8) and other sequences are left out. */
function runsOf(line) {
  const runs = []
  let style = {}
  let at = 0
  const visible = line.replaceAll(link, '')
  for (const part of visible.split(colour)) {
    const codes = oneColour.exec(part)
    if (codes) style = styled(style, codes[1].split(/[;:]/).map(Number))
    else if (part !== '') {
      runs.push({text: part, at, style})
      at += [...part].length
    }
  }
  return runs
}

function styled(before, codes) {
  const style = {...before}
  for (let index = 0; index < codes.length; index++) {
    const code = codes[index]
    if (code === 0) for (const key of Object.keys(style)) delete style[key]
    else if (code === 1) style.bold = true
    else if (code === 2) style.dim = true
    else if (code === 22) for (const key of ['bold', 'dim']) delete style[key]
    else if (code === 7) style.inverse = true
    else if (code === 27) delete style.inverse
    else if (code === 39) delete style.text
    else if (code === 49) delete style.back
    else if (code === 38 || code === 48) {
      const isPalette = codes[index + 1] === 5
      style[code === 38 ? 'text' : 'back'] = isPalette
        ? palette(codes[index + 2])
        : `rgb(${codes.slice(index + 2, index + 5)})`
      index += isPalette ? 2 : 4
    } else if (code >= 30 && code <= 37) style.text = ansi[code - 30]
    else if (code >= 90 && code <= 97) style.text = ansi[code - 82]
    else if (code >= 40 && code <= 47) style.back = ansi[code - 40]
    else if (code >= 100 && code <= 107) style.back = ansi[code - 92]
  }
  return style
}

function palette(number) {
  if (number < 16) return ansi[number]
  if (number > 231) return `rgb(${Array(3).fill(8 + (number - 232) * 10)})`
  const level = (value) => (value === 0 ? 0 : 55 + value * 40)
  const rest = number - 16
  return `rgb(${[Math.floor(rest / 36), Math.floor(rest / 6) % 6, rest % 6].map(level)})`
}
