import {createHash} from 'node:crypto'
import {readFileSync} from 'node:fs'
import {pathOf} from '../../http/page-rights.ts'

const types = {'monitor.js': 'text/javascript; charset=utf-8', 'monitor.css': 'text/css; charset=utf-8'}

function read(name: keyof typeof types) {
  // the only place that knows where the files are
  const text = readFileSync(new URL(`assets/${name}`, import.meta.url), 'utf8')
  const version = createHash('sha256').update(text).digest('hex').slice(0, 12)
  return {text, version, type: types[name], path: pathOf('asset', {file: name}, {v: version})}
}

/** The script and the stylesheet. Their paths change with their content, so that browsers may keep them. */
export const script = read('monitor.js')
export const stylesheet = read('monitor.css')
