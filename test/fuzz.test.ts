import {execFile} from 'node:child_process'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {root} from './support/cli.ts'

/** Runs the fuzzer and resolves when it has exited. */
const fuzz = (...args: string[]) =>
  new Promise<{code: number; stdout: string}>((resolve) => {
    execFile(process.execPath, [join(root, 'fuzz/fuzz.ts'), ...args], (error, stdout) =>
      resolve({code: error ? Number(error.code) : 0, stdout}),
    )
  })

test('2,000 broken streams, answers, lines and files cause no crash, no hang and no leak', async () => {
  const {code, stdout} = await fuzz('--count', '2000', '--seed', '7')
  expect(stdout).toMatch(/^state +\d+ +\d+ +\d+ +0 +0 /m)
  expect(code, stdout).toBe(0)
})

test('finds nothing in a short run: signed', async () => {
  const {code, stdout} = await fuzz('--target', 'signed', '--count', '1500', '--seed', '3')
  expect(code, stdout).toBe(0)
  expect(Number(/^signed +1500 +(\d+)/m.exec(stdout)?.[1])).toBeGreaterThan(75)
})

test('exceptions, unhandled rejections and hangs are reported with the command that reproduces them', async () => {
  const {code, stdout} = await fuzz('--target', 'self', '--count', '12')
  expect(code).toBe(1)
  expect(stdout).toMatch(/crash in self, seed 1, case 4: Error: thrown[^]*--target self --seed 1 --case 4\n/)
  expect(stdout).toMatch(/crash in self, seed 1, case 6: Error: rejected/)
  expect(stdout).toMatch(/hang in self, seed 1, case 8: it took over 2 s/)
  expect(stdout).toMatch(/^self +12 +\d+ +\d+ +2 +1 /m)
})
