import type {Target} from '../target.ts'

const kept: unknown[] = []

/** Fails in each way that there is, so that it can be seen that each is found. */
export const self: Target = {
  name: 'self',
  share: 0,
  open: () => {
    let at = 0
    return {
      async run() {
        at += 1
        kept.push(Array.from({length: 50_000}, (_, i) => ({i})))
        if (at === 5) throw new Error('thrown')
        if (at === 7) void Promise.reject(new Error('rejected'))
        if (at === 9) for (;;);
        return at % 2 === 0 ? 'accepted' : 'refused'
      },
    }
  },
}
