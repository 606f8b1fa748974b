import {defineConfig} from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.{ts,tsx}'],
    globalSetup: './test/support/run-folder.ts',
    disableConsoleIntercept: true,
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // On two cores. Most tests wait most of the time, so a third file fills the gaps. More only slow each other down.
    maxWorkers: 3,
    // No file changes what another file imports. So all files share three processes, which load each module once.
    isolate: false,
    reporters: ['default', './test/support/count-reporter.ts'],
  },
})
