import {ExpectedError} from '../src/lib/core/errors.ts'
import type {Random} from './random.ts'

/** Whether what was made of a sample still passed. Anything but these two is thrown, and is then a finding. */
export type Verdict = 'accepted' | 'refused'

export type OpenTarget = {
  /** `at` is the number of the case. */
  run: (random: Random, at: number) => Verdict | Promise<Verdict>
  close?: () => unknown
}

export type Target = {
  name: string
  /** How many of a thousand cases are its own; 0: only when it is named. */
  share: number
  /** So many cases, from each multiple of it on, share what they change: one is repeated with those before it. */
  batch?: number
  /** Makes what all its cases have in common; `folder` is empty, and its own. */
  open: (folder: string) => OpenTarget | Promise<OpenTarget>
}

/** Errors that we foresaw are an answer, with one of these exit codes where they are named; all others are findings. */
export async function foreseen(step: () => unknown, ...exits: number[]): Promise<Verdict> {
  try {
    await step()
    return 'accepted'
  } catch (error) {
    if (!(error instanceof ExpectedError)) throw error
    if (exits.length > 0 && !exits.includes(error.exitCode))
      throw new Error(`exit code ${error.exitCode}: ${error.message}`, {cause: error})
    return 'refused'
  }
}

export function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`it does not hold that ${what}`)
}
