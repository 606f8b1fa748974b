import {isDeepStrictEqual} from 'node:util'
import type {Decision, Precondition} from '../../../src/lib/server/state/decision.ts'
import {fieldOf} from '../../../src/lib/server/state/reads.ts'
import {idOf, indexes, type Kind, type Records} from '../../../src/lib/server/state/records.ts'
import type {State} from '../../../src/lib/server/state/state.ts'

/** Whether what a rule has read is still so. */
export function holds(state: State, precondition: Precondition): boolean {
  switch (precondition.read) {
    case 'record': {
      const record = state.get(precondition.kind, precondition.id)
      const {field, value} = precondition
      return isDeepStrictEqual(field === undefined ? record !== undefined : fieldOf(record, field), value)
    }
    case 'index': {
      const {kind} = indexes[precondition.index]
      const id = idOf[kind] as (record: Records[Kind]) => string
      const ids = [...state.find(precondition.index, precondition.key)].map((record) => id(record))
      return isDeepStrictEqual(ids.toSorted(), precondition.ids.toSorted())
    }
    case 'count':
      return state.count(precondition.index, precondition.key) === precondition.count
    case 'below':
      return state.isBelow(precondition.indexes, precondition.key, precondition.limit) === precondition.holds
    case 'last-number':
      return state.lastNumber === precondition.value
    case 'queue': {
      const first: string[] = []
      for (const {id} of state.queue(precondition.codebaseId)) {
        if (!precondition.isAll && first.length === precondition.first.length) break
        first.push(id)
      }
      return isDeepStrictEqual(first, precondition.first)
    }
  }
}

/** What a rule has read has changed since: it must decide again. */
export class StaleDecisionError extends Error {
  constructor() {
    super('the state has changed since the decision')
    this.name = 'StaleDecisionError'
  }
}

/** Whether all that a decision relies on is still so. */
export const stillHolds = (state: State, {basis, preconditions}: Decision): boolean =>
  basis === state.version || preconditions.every((condition) => holds(state, condition))
