import {openApiDocument} from '../../dist/lib/server/http/openapi.js'
import {everybody, rights} from '../../dist/lib/server/http/rights.js'
import {routes} from '../../dist/lib/protocol/routes.js'
import {code, table} from './table.mjs'

/** One row per operation, from the OpenAPI document that the control plane serves, and the table of rights. */
export function wireTable() {
  const {paths} = openApiDocument({version: '', asksForTokens: false, isOpen: () => false})
  const rows = Object.entries(paths).flatMap(([path, {parameters: _inPath, ...verbs}]) =>
    Object.entries(verbs).map(([verb, {summary, parameters = []}]) => [
      code(`${verb.toUpperCase()} ${path}`),
      summary,
      parameters.map(({name}) => code(name)).join(', '),
      tokensFor(path, verb),
    ]),
  )
  return table(['operation', 'what it does', 'query and headers', 'tokens besides admins'], rows)
}

function tokensFor(path, verb) {
  const [route] = Object.entries(routes).find(([, pattern]) => pattern.replaceAll(/:([a-z]+)/g, '{$1}') === path)
  const right = rights[route][verb]
  if (right === everybody) return 'none needed'
  const {client, worker, metrics} = right
  return [
    ...(client ? ['client'] : []),
    ...(worker === 'nothing' ? [] : ['worker']),
    ...(metrics ? ['metrics'] : []),
  ].join(', ')
}
