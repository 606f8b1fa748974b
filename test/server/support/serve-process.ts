import Serve from '../../../src/commands/serve.ts'

// `a2a-worker serve` as a process of its own
await Serve.run(process.argv.slice(2), import.meta.url)
