import type {Target} from '../target.ts'

const leaked: unknown[] = []

/** Fails in every possible way, to test the fuzzer itself. */
export const self: Target = {
  name: 'self',
  share: 0,
  open: () => ({
    run(_, at) {
      leaked.push(Array.from({length: 50_000}, (_, i) => ({i})))
      if (at === 4) throw new Error('thrown')
      if (at === 6) void Promise.reject(new Error('rejected'))
      if (at === 8) for (;;);
      return at % 2 === 0 ? 'accepted' : 'refused'
    },
  }),
}
