import {ExpectedError} from '../src/lib/core/errors.ts'
import type {Random} from './random.ts'

/** Whether the code accepted the mutated sample. Everything else is an exception, and so a finding. */
export type Verdict = 'accepted' | 'refused'

export type OpenTarget = {
  /** `at` is the number of the case. */
  run: (random: Random, at: number) => Verdict | Promise<Verdict>
  close?: () => unknown
}

export type Target = {
  name: string
  /** Its share of a thousand cases. With 0 it runs only if it is named. */
  share: number
  /** This many consecutive cases share state. To repeat one, the earlier cases of its batch are repeated, too. */
  batch?: number
  /** Creates the state that all cases share. `folder` is a new empty folder. */
  open: (folder: string) => OpenTarget | Promise<OpenTarget>
}

/** A foreseen error counts as refused, if it has one of the exit codes (when given). Other errors are findings. */
export async function verdictOf(step: () => unknown, ...exits: number[]): Promise<Verdict> {
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

export function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`violated: ${what}`)
}
