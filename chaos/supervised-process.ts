import {spawn, type ChildProcess} from 'node:child_process'
import {once} from 'node:events'
import {appendFileSync, closeSync, mkdirSync, openSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'

export type SupervisedProcessOptions = {
  name: string
  argv: readonly string[]
  env: Record<string, string>
  cwd: string
  /** The folder of the control files for preload.mjs. Created if missing. */
  control: string
  log: string
  /** The pause before each restart, ms. */
  pauseMs: () => number
}

const preload = join(import.meta.dirname, 'preload.mjs')
/** The exit code of our programs after a bug. */
const bugExit = 70

/** A process that is restarted each time it ends, as by a service manager. */
export class SupervisedProcess {
  readonly name: string
  readonly #options: SupervisedProcessOptions
  #child: ChildProcess | undefined
  #isRunning = true
  #supervision: Promise<void> = Promise.resolve()
  #isDown = false
  /** Exits because of a bug, not because of a fault. */
  bugs: string[] = []
  starts = 0

  constructor(options: SupervisedProcessOptions) {
    this.name = options.name
    this.#options = options
    mkdirSync(options.control, {recursive: true})
  }

  get pid(): number | undefined {
    const child = this.#child
    return child && child.exitCode === null && child.signalCode === null ? child.pid : undefined
  }

  start(): void {
    this.#isRunning = true
    this.#supervision = this.#supervise()
  }

  signal(signal: NodeJS.Signals): void {
    if (this.pid !== undefined) this.#child?.kill(signal)
  }

  /** While this is on, the process is not restarted. */
  setDown(isDown: boolean): void {
    this.#isDown = isDown
  }

  /** Writes a control file for preload.mjs: the offset of the clock, or a step to die at. */
  writeControlFile(file: string, text = ''): void {
    writeFileSync(join(this.#options.control, file), text)
  }

  /** Ends the process without a restart. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#isRunning = false
    this.signal(signal)
    await this.#supervision
  }

  async #supervise(): Promise<void> {
    const {argv, env, cwd, control, log, pauseMs} = this.#options
    while (this.#isRunning) {
      const file = openSync(log, 'a')
      this.starts += 1
      const child = spawn(process.execPath, ['--import', preload, ...argv], {
        cwd,
        env: {...env, CHAOS_CONTROL: control},
        stdio: ['ignore', file, file],
      })
      this.#child = child
      closeSync(file)
      const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
      appendFileSync(log, `--- ${this.name} ended: ${signal ?? `exit code ${code}`}\n`)
      if (code === bugExit) this.bugs.push(`${this.name} exited with ${code}: see ${log}`)
      do await new Promise((resolve) => setTimeout(resolve, pauseMs()))
      while (this.#isDown && this.#isRunning)
    }
  }
}
