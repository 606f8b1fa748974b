import {cell, column, emptyRow, row, type Area, type Row} from './cells.ts'
import type {CodebaseView, View} from '../view/view.ts'

/** Served codebases, and refused ones with the reason, starting at index `first`. */
export function codebasesPane({codebases}: View, first: number | undefined, {width, height}: Area): Row[] {
  if (codebases.length === 0)
    return [emptyRow, row(width, cell('  No codebase is served: a2a-worker register PATH', 'dim'))]
  return codebases.slice(first ?? 0, (first ?? 0) + height).map((codebase) => codebaseRow(codebase, width))
}

function codebaseRow({id, name, path, problem}: CodebaseView, width: number): Row {
  const nameWidth = Math.max(12, Math.floor(width * 0.22))
  const heading = [column('', 2), column(name, nameWidth, 'accent')]
  if (problem === null)
    return row(width, ...heading, column('served', 8, 'good'), cell(`${path} `), cell(`(${id ?? ''})`, 'dim'))
  return row(width, ...heading, column('refused', 8, 'bad'), cell(`${problem} `), cell(path, 'dim'))
}
