import {eventMeanings} from '../../dist/lib/events/event-meanings.js'
import {workerEventSchema} from '../../dist/lib/events/worker-event.js'
import {code, table} from './table.mjs'

/** One row per event of a worker, with the types of its fields. */
export const eventTable = () =>
  table(['type', 'meaning', 'fields besides `at` and `type`'], workerEventSchema.options.map(rowOf))

function rowOf({entries: {at: _at, type, ...fields}}) {
  const listed = Object.entries(fields).map(
    ([name, schema]) => `${code(isOptional(schema) ? `${name}?` : name)} ${typeText(schema)}`,
  )
  return [code(type.literal), eventMeanings[type.literal], listed.join(', ')]
}

const isOptional = ({type}) => type === 'optional' || type === 'exact_optional'

/** The type of a schema of valibot, for people. */
function typeText(schema) {
  switch (schema.type) {
    case 'optional':
    case 'exact_optional':
      return typeText(schema.wrapped)
    case 'nullable':
      return `${typeText(schema.wrapped)} or null`
    case 'picklist':
      return `(${schema.options.join(', ')})`
    case 'array':
      return `list of ${typeText(schema.item)}s`
    case 'string':
      return 'text'
    default:
      return schema.type
  }
}
