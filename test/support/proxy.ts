import {startFaultProxy, type ProxyAction} from '../../chaos/fault-proxy.ts'

export type Proxy = AsyncDisposable & {
  url: string
  /** Method and path of each request, in order. */
  requests: string[]
  /** What happens to a request: passed on, refused with 403, or passed on without the body of the answer. */
  rule: (path: string) => 'pass' | 'refuse' | 'silence'
  /** Breaks the open connections of these paths. */
  cut(path: RegExp): void
}

const forbidden: ProxyAction = {
  do: 'answer',
  status: 403,
  headers: {'content-type': 'text/html'},
  body: '<html>not here</html>',
}

/** A proxy between a worker and its server that blocks some requests, like the proxy of a company. */
export async function startProxy(target: string): Promise<Proxy> {
  const faults = await startFaultProxy(target)
  const proxy: Proxy = {
    url: faults.url,
    requests: [],
    rule: () => 'pass',
    cut: faults.cut,
    [Symbol.asyncDispose]: () => faults[Symbol.asyncDispose](),
  }
  const ruleOf = (request: string) => proxy.rule(request.slice(request.indexOf(' ') + 1))
  faults.withholdsBody = (request) => ruleOf(request) === 'silence'
  faults.chooseAction = (request) => {
    proxy.requests.push(request)
    return ruleOf(request) === 'refuse' ? forbidden : {do: 'pass'}
  }
  return proxy
}
