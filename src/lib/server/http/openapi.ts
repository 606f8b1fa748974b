import {toJsonSchema, toJsonSchemaDefs} from '@valibot/to-json-schema'
import type * as v from 'valibot'
import {modelSchema} from '../../protocol/model-schemas.ts'
import {monitorMessageSchema} from '../../protocol/monitor-schemas.ts'
import {routes, type Route} from '../../protocol/routes.ts'
import * as wire from '../../protocol/schemas.ts'
import {messageSchema, sessionSchema} from '../../protocol/session-schemas.ts'
import type {Operation, Verb} from './operations.ts'
import {headers, operations, parameters, requiredParameters} from './operations.ts'

type Schema = v.GenericSchema<unknown, unknown>
type Json = Record<string, unknown>

/** Schemas that become named components. */
const named = {
  Task: wire.taskSchema,
  Worker: wire.workerSchema,
  Codebase: wire.codebaseSchema,
  OutputChunk: wire.outputChunkSchema,
  Session: sessionSchema,
  Message: messageSchema,
  Model: modelSchema,
  MonitorMessage: monitorMessageSchema,
  Error: wire.errorBodySchema,
} as const

/** JSON Schema cannot express transformations, so they are ignored. What remains is the wire format. */
const conversion = {errorMode: 'ignore', target: 'draft-2020-12'} as const
const overrideRef = ({referenceId}: {referenceId: string}) => `#/components/schemas/${referenceId}`
const requestShape = (schema: Schema) => plain({...toJsonSchema(schema, {...conversion, typeMode: 'input'})})
const answerShape = (schema: Schema) =>
  plain({...toJsonSchema(schema, {...conversion, typeMode: 'output', definitions: named, overrideRef})})

type Facts = {version: string; asksForTokens: boolean; isOpen: (path: string) => boolean}

/** The OpenAPI 3.1 document, generated from the routes and the validation schemas. */
export function openApiDocument({version, asksForTokens, isOpen}: Facts): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'a2a-worker control plane',
      version,
      description:
        'The CodeTether worker API. HEAD works wherever GET does. Long lists have pages: `limit`, and `cursor` with the value of `X-Next-Cursor`.',
    },
    paths: Object.fromEntries(
      (Object.keys(routes) as Route[]).map((route) => [
        routes[route].replaceAll(/:([a-z]+)/g, '{$1}'),
        pathItem(route, asksForTokens && isOpen(routes[route])),
      ]),
    ),
    components: {
      schemas: toDefinitions(),
      ...(asksForTokens ? {securitySchemes: {bearer: {type: 'http', scheme: 'bearer'}}} : {}),
    },
    ...(asksForTokens ? {security: [{bearer: []}]} : {}),
  }
}

function pathItem(route: Route, isOpen: boolean): Json {
  const inPath = [...routes[route].matchAll(/:([a-z]+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: {type: 'string'},
  }))
  const verbs = Object.entries(operations[route]) as [Verb, Operation][]
  return {
    ...(inPath.length > 0 ? {parameters: inPath} : {}),
    ...Object.fromEntries(verbs.map(([verb, operation]) => [verb, describe(route, verb, operation, isOpen)])),
  }
}

function describe(route: Route, verb: Verb, operation: Operation, isOpen: boolean): Json {
  const optional = [
    ...(operation.query ?? []).map((name) => ({
      name,
      in: 'query',
      required: requiredParameters.includes(name),
      description: parameters[name],
    })),
    ...(operation.headers ?? []).map((name) => ({name, in: 'header', description: headers[name]})),
  ].map((parameter) => ({...parameter, schema: {type: 'string'}}))
  return {
    operationId: verb === 'get' ? route : `${verb}${route.charAt(0).toUpperCase()}${route.slice(1)}`,
    summary: operation.summary,
    tags: [tagOf(routes[route])],
    ...(optional.length > 0 ? {parameters: optional} : {}),
    ...requestBody(operation),
    responses: {
      200: {description: 'Done', content: contentOf(operation)},
      default: {description: 'Refused', content: json({$ref: '#/components/schemas/Error'})},
    },
    ...(isOpen ? {security: []} : {}),
  }
}

function requestBody({body, mayBeEmpty, raw}: Operation): Json {
  if (!body) return {}
  const content = {...json(requestShape(body)), ...(raw === undefined ? {} : {[raw]: {schema: {type: 'string'}}})}
  return {requestBody: {required: mayBeEmpty !== true, content}}
}

function contentOf({answer, media}: Operation): Json {
  if (media !== undefined) return {[media]: {schema: {type: 'string'}}}
  return json(answer ? answerShape(answer) : {type: 'object'})
}

const json = (schema: Json) => ({'application/json': {schema}})

function tagOf(path: string): string {
  const [, version, area, topic] = path.split('/')
  if (version !== 'v1') return 'health'
  return area === 'opencode' ? (topic ?? area) : (area ?? 'health')
}

function toDefinitions(): Json {
  const shapes = toJsonSchemaDefs(named, {...conversion, typeMode: 'output', overrideRef}) as Json
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, plain(shape as Json)]))
}

/** The document names its JSON Schema dialect once. */
function plain({$schema: _, $defs: _definitions, ...schema}: Json): Json {
  return schema
}
