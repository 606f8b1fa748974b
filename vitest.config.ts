import {defineConfig} from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.{ts,tsx}'],
    disableConsoleIntercept: true,
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // Two cores: real processes of several files at once only slow each other down.
    maxWorkers: 2,
    // No file changes what another file imports. So all files share two processes, which load each module once.
    isolate: false,
    reporters: ['default', './test/support/count-reporter.ts'],
  },
})
