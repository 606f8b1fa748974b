import {spawn, type ChildProcess} from 'node:child_process'
import {once} from 'node:events'
import {appendFileSync, closeSync, mkdirSync, openSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'

export type KeptOptions = {
  name: string
  argv: readonly string[]
  env: Record<string, string>
  cwd: string
  /** Files through which the preloaded part is told what to do; made when missing. */
  control: string
  log: string
  /** How long it stays dead, ms. */
  pauseMs: () => number
}

const preload = join(import.meta.dirname, 'preload.mjs')
/** What a program of ours exits with when it met a bug of its own. */
const bugExit = 70

/** A process that is started again whenever it ends, as a service manager would do it. */
export class KeptProcess {
  readonly name: string
  readonly #options: KeptOptions
  #child: ChildProcess | undefined
  #isWanted = true
  #life: Promise<void> = Promise.resolve()
  #isHeld = false
  /** Ends that nobody caused from outside and that are a bug. */
  bugs: string[] = []
  starts = 0

  constructor(options: KeptOptions) {
    this.name = options.name
    this.#options = options
    mkdirSync(options.control, {recursive: true})
  }

  get pid(): number | undefined {
    const child = this.#child
    return child && child.exitCode === null && child.signalCode === null ? child.pid : undefined
  }

  start(): void {
    this.#isWanted = true
    this.#life = this.#live()
  }

  signal(signal: NodeJS.Signals): void {
    if (this.pid !== undefined) this.#child?.kill(signal)
  }

  /** Stays dead, when it dies, for as long as this is on. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld
  }

  /** What its preloaded part finds there: a clock's offset, or a step to die at. */
  tell(file: string, text = ''): void {
    writeFileSync(join(this.#options.control, file), text)
  }

  /** Ends it, for good. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#isWanted = false
    this.signal(signal)
    await this.#life
  }

  async #live(): Promise<void> {
    const {argv, env, cwd, control, log, pauseMs} = this.#options
    while (this.#isWanted) {
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
      while (this.#isHeld && this.#isWanted)
    }
  }
}
