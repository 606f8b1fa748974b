import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {existsSync} from 'node:fs'

export type NotifyOptions = {
  /** Value of `NOTIFY_SOCKET`. */
  socket: string
  /** Full path of systemd-notify. */
  program: string
  /** Called once, at the first failed notification. */
  onFailure: (reason: string) => void
}

/** systemd-notify itself waits 5 s for the manager. */
const timeoutMs = 10_000

/** Path of systemd-notify. Undefined if it is not installed. */
export const systemdNotify = (): string | undefined =>
  ['/usr/bin/systemd-notify', '/bin/systemd-notify'].find((path) => existsSync(path))

/**
 * Notifies the service manager (sd_notify) through systemd-notify, because Node has no unix datagram sockets. Only one
 * notification runs at a time. Values that change meanwhile are sent together afterwards, newest value only.
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
    // Combine the values of one turn of the event loop.
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
      cwd: '/',
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

  /** Resolves when all values have been sent. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sending
  }
}
