import Serve from '../../../src/commands/serve.ts'

// `a2a-worker serve` as a separate process
await Serve.run(process.argv.slice(2), import.meta.url)
