// Loaded into a worker before everything else. It replaces node:sqlite, so that the worker's journal is in memory.
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
