import {applyStep, isApplied} from './apply-step.ts'
import type {Machine} from './machine.ts'
import {describeStep, maskedText, type Step} from './steps.ts'

export type ApplyOptions = {machine: Machine; isDryRun: boolean; print: (text: string) => void}

/** The steps that have something to do. */
export async function pendingSteps(steps: Step[], machine: Machine): Promise<Step[]> {
  const done = await Promise.all(steps.map((step) => isApplied(step, machine)))
  return steps.filter((_, index) => !done[index])
}

/** Applies the steps in order and prints each. In a dry run only prints them. Throws like `applyStep`. */
export async function applySteps(steps: readonly Step[], {machine, isDryRun, print}: ApplyOptions): Promise<void> {
  for (const step of steps) {
    if (isDryRun) printStep(step, print)
    else {
      await applyStep(step, machine)
      print(pastTense(describeStep(step)))
    }
  }
}

function printStep(step: Step, print: (text: string) => void): void {
  print(`would ${describeStep(step)}`)
  if (step.kind === 'file') for (const line of maskedText(step).trimEnd().split('\n')) print(`    ${line}`)
}

const pastForms: Record<string, string> = {
  make: 'made',
  write: 'wrote',
  move: 'moved',
  remove: 'removed',
  copy: 'copied',
  run: 'ran',
}

const pastTense = (text: string): string => text.replace(/^\w+/, (verb) => pastForms[verb] ?? verb)
