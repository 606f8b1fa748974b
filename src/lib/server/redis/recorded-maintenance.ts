import type {Change} from '../state/decision.ts'
import type {Maintenance} from '../store/maintenance.ts'

type Method = keyof Maintenance
type Maintained = Extract<Change, {do: 'maintain'}>

/** Those that change something. */
const changing = [
  'dropOutput',
  'pruneAudit',
  'pruneTasks',
  'forgetRequests',
  'saveContacts',
] as const satisfies readonly Method[]

/** Maintenance that also tells what it did, so that other replicas repeat it on the same state. */
export function recording(maintenance: Maintenance, record: (change: Maintained) => void): Maintenance {
  const recorded = changing.map((method) => {
    const call = (...args: unknown[]) => {
      record({do: 'maintain', method, args})
      return (maintenance[method] as (...all: unknown[]) => unknown)(...args)
    }
    return [method, call]
  })
  return {...maintenance, ...(Object.fromEntries(recorded) as Pick<Maintenance, (typeof changing)[number]>)}
}

/** Does what another replica did. */
export function repeat(maintenance: Maintenance, {method, args}: Maintained): void {
  const known = changing.find((name) => name === method)
  if (!known) throw new Error(`there is no maintenance called ${method}`)
  ;(maintenance[known] as (...all: unknown[]) => unknown)(...args)
}
