/**
 * A signal for one request: aborted with the parent or after `timeoutMs`, and let go of by both when disposed.
 * `AbortSignal.any([parent, AbortSignal.timeout(ms)])` for each request would leak in a daemon (nodejs/node#54614).
 */
export function operation(parent: AbortSignal | undefined, timeoutMs: number): Disposable & {signal: AbortSignal} {
  const controller = new AbortController()
  const forward = () => controller.abort(parent?.reason)
  if (parent?.aborted) forward()
  else parent?.addEventListener('abort', forward, {once: true})
  const timer = setTimeout(
    () => controller.abort(new DOMException(`no answer within ${timeoutMs / 1000} s`, 'TimeoutError')),
    timeoutMs,
  )
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      clearTimeout(timer)
      parent?.removeEventListener('abort', forward)
    },
  }
}

/** Resolves when the signal is aborted, or has been. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), {once: true})
  })
