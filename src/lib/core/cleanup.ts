/** What is to be undone at the end, last first. (`AsyncDisposableStack` is not in Node 22.) */
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
