/** Steps to run on disposal, last first. (Node 22 has no `AsyncDisposableStack`.) */
export class Cleanup implements AsyncDisposable {
  readonly #steps: (() => unknown)[] = []

  defer(step: () => unknown): void {
    this.#steps.push(step)
  }

  use<T extends AsyncDisposable>(resource: T): T {
    this.defer(() => resource[Symbol.asyncDispose]())
    return resource
  }

  /** Passes the steps on, so that the disposal of this object runs none. */
  move(): Cleanup {
    const moved = new Cleanup()
    moved.#steps.push(...this.#steps.splice(0))
    return moved
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const step of this.#steps.toReversed()) await step()
  }
}
