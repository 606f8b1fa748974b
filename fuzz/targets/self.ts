import type {Target} from '../target.ts'

const kept: unknown[] = []

/** Fails in each way that there is, so that it can be seen that each is found. */
export const self: Target = {
  name: 'self',
  share: 0,
  open: () => ({
    run(_, at) {
      kept.push(Array.from({length: 50_000}, (_, i) => ({i})))
      if (at === 4) throw new Error('thrown')
      if (at === 6) void Promise.reject(new Error('rejected'))
      if (at === 8) for (;;);
      return at % 2 === 0 ? 'accepted' : 'refused'
    },
  }),
}
