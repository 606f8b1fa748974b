import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {existsSync} from 'node:fs'

export type NotifyOptions = {
  /** Value of `NOTIFY_SOCKET`. */
  socket: string
  /** Full path of systemd-notify. */
  program: string
  /** Told once, when nothing can be told to the manager. */
  onFailure: (reason: string) => void
}

/** systemd-notify itself waits 5 s for the manager. */
const timeoutMs = 10_000

/** Where systemd-notify is; undefined where there is none. */
export const systemdNotify = (): string | undefined =>
  ['/usr/bin/systemd-notify', '/bin/systemd-notify'].find((path) => existsSync(path))

/**
 * Speaks to the service manager (sd_notify) through systemd-notify, since Node has no datagram socket of the unix kind.
 * One at a time: what is to be told meanwhile is told together afterwards, the newest value of each name.
 */
export class Notifier implements AsyncDisposable {
  readonly #options: NotifyOptions
  #waiting = new Map<string, string>()
  #sending: Promise<void> | undefined
  #hasFailed = false

  constructor(options: NotifyOptions) {
    this.#options = options
  }

  notify(values: Record<string, string>): void {
    for (const [name, value] of Object.entries(values)) this.#waiting.set(name, value.replaceAll(/\s+/g, ' '))
    this.#sending ??= this.#send()
  }

  async #send(): Promise<void> {
    // What happens in one turn of the loop is told at once.
    await Promise.resolve()
    while (this.#waiting.size > 0) {
      const words = [...this.#waiting].map(([name, value]) => `${name}=${value}`)
      this.#waiting = new Map()
      const problem = await this.#run(words)
      if (problem !== undefined && !this.#hasFailed) {
        this.#hasFailed = true
        this.#options.onFailure(problem)
      }
    }

    this.#sending = undefined
  }

  async #run(words: string[]): Promise<string | undefined> {
    const {program, socket} = this.#options
    const child = spawn(program, words, {
      env: {NOTIFY_SOCKET: socket},
      stdio: 'ignore',
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    })
    try {
      const [code] = (await once(child, 'exit')) as [number | null]
      return code === 0 ? undefined : `${program} ended with ${code ?? 'a signal'}`
    } catch (error) {
      return (error as Error).message
    }
  }

  /** Resolves when all has been told. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sending
  }
}
