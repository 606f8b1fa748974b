import {carryOut, isDone} from './carry-out.ts'
import type {Machine} from './machine.ts'
import {describe, shownText, type Step} from './steps.ts'

export type PerformOptions = {machine: Machine; isDryRun: boolean; tell: (text: string) => void}

/** Those steps that have something to do. */
export async function pending(steps: Step[], machine: Machine): Promise<Step[]> {
  const done = await Promise.all(steps.map((step) => isDone(step, machine)))
  return steps.filter((_, index) => !done[index])
}

/** Does one step after the other and says so; or only says what each would do. Throws as `carryOut` does. */
export async function perform(steps: readonly Step[], {machine, isDryRun, tell}: PerformOptions): Promise<void> {
  for (const step of steps) {
    if (isDryRun) show(step, tell)
    else {
      await carryOut(step, machine)
      tell(past(describe(step)))
    }
  }
}

function show(step: Step, tell: (text: string) => void): void {
  tell(`would ${describe(step)}`)
  if (step.kind === 'file') for (const line of shownText(step).trimEnd().split('\n')) tell(`    ${line}`)
}

const verbs: Record<string, string> = {
  make: 'made',
  write: 'wrote',
  move: 'moved',
  remove: 'removed',
  copy: 'copied',
  run: 'ran',
}

const past = (text: string): string => text.replace(/^\w+/, (verb) => verbs[verb] ?? verb)
