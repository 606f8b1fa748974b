import {startTimer} from './clock.ts'

/**
 * A signal for one request: aborted with the parent or after `timeoutMs`. Disposing detaches it from both.
 * `AbortSignal.any([parent, AbortSignal.timeout(ms)])` for each request would leak in a daemon (nodejs/node#54614).
 */
export function requestSignal(parent: AbortSignal | undefined, timeoutMs: number): Disposable & {signal: AbortSignal} {
  const controller = new AbortController()
  const forward = () => controller.abort(parent?.reason)
  if (parent?.aborted) forward()
  else parent?.addEventListener('abort', forward, {once: true})
  const cancel = startTimer(timeoutMs, () =>
    controller.abort(new DOMException(`no answer within ${timeoutMs / 1000} s`, 'TimeoutError')),
  )
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      cancel()
      parent?.removeEventListener('abort', forward)
    },
  }
}

/** Resolves when the signal is aborted, at once if it is already. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), {once: true})
  })
