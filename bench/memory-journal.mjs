// Loaded into a worker before everything else: it takes the place of node:sqlite. The worker's journal is then in memory,
// and nothing else of it is different.
import {registerHooks} from 'node:module'
import {DatabaseSync as Original} from 'node:sqlite'

export * from 'node:sqlite'

export class DatabaseSync extends Original {
  constructor(path, options) {
    super(String(path).endsWith('/journal.db') ? ':memory:' : path, options)
  }
}

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'node:sqlite' && context.parentURL !== import.meta.url
      ? {url: import.meta.url, shortCircuit: true}
      : next(specifier, context),
})
