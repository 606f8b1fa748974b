import {defineConfig} from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.{ts,tsx}'],
    disableConsoleIntercept: true,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores: real processes of several files at once only slow each other down.
    maxWorkers: 2,
    // No file changes what another one imports: two processes do for all of them, and load each module once.
    isolate: false,
    reporters: ['default', './test/support/count-reporter.ts'],
  },
})
