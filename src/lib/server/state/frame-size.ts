import {limits} from '../../protocol/limits.ts'

/** Whether the prompt fits into a line of the task stream that the existing worker can read. */
export const fitsFrame = ({frame_size}: {frame_size: number}) => frame_size <= limits.frame

/** The size of a new task's frame, without the copy of the prompt and with a reserve for fields that change later. */
export function frameSize(task: {title: string; prompt: string; metadata: object}): number {
  const changing = 1024
  return sizeOf(task) + changing
}

/** The size of a value as JSON, in bytes. */
export const sizeOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value))
