import {styleText} from 'node:util'

/** The meaning of a piece of text. The text must be understandable without colours too. */
export type TextTone = 'good' | 'bad' | 'warn' | 'dim'

/** Colours a text by its meaning. */
export type Paint = (tone: TextTone, text: string) => string

const colours = {good: 'green', bad: 'red', warn: 'yellow', dim: 'dim'} as const

/** Colours for a stream, unless it is no terminal, or NO_COLOR forbids it. */
export const paintFor =
  (stream: NodeJS.WriteStream): Paint =>
  (tone, text) =>
    styleText(colours[tone], text, {stream})

export const unpainted: Paint = (_tone, text) => text
