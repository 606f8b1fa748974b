import type {Reporter, TestModule} from 'vitest/node'

/** Ends a test run with the plain line `N passed, N failed`. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    let passed = 0
    let failed = 0
    for (const module of modules) {
      const before = failed
      for (const test of module.children.allTests()) {
        const {state} = test.result()
        if (state === 'passed') passed += 1
        if (state === 'failed') failed += 1
      }

      // A file that cannot be loaded has no failed tests.
      if (!module.ok() && failed === before) failed += 1
    }

    // The default reporter prints its summary in the same hook. Ours follows it.
    process.on('exit', () => process.stdout.write(`${passed} passed, ${failed} failed\n`))
  }
}
