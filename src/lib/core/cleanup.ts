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

  async [Symbol.asyncDispose](): Promise<void> {
    for (const step of this.#steps.toReversed()) await step()
  }
}
