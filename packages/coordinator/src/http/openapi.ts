/** The OpenAPI 3.1 document, made of the routes, the schemas and the error table; nothing in it is written by hand twice. */
import { type ErrorCode, errorCodes, errorTable } from '@baton/shared'
import { z } from 'zod'
import { neededBy, type Route } from './route.js'
import { namedSchemas } from './view-schemas.js'

export interface OpenApi {
  readonly openapi: '3.1.0'
  readonly info: { readonly title: string; readonly version: string; readonly description: string }
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { readonly schemas: Record<string, JsonSchema>; readonly securitySchemes: Record<string, unknown> }
  readonly security: readonly Record<string, readonly string[]>[]
  /** Every error code with its status, title and whether to try again. */
  readonly 'x-error-codes': readonly { code: ErrorCode; status: number; title: string; retryable: boolean }[]
}

export interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly security: readonly unknown[]
  readonly parameters?: readonly Record<string, unknown>[]
  readonly requestBody?: { readonly required: boolean; readonly content: Record<string, { schema: JsonSchema }> }
  readonly responses: Record<string, { description: string; content?: Record<string, { schema: JsonSchema }> }>
}

type JsonSchema = Record<string, unknown>

const schemaUri = (name: string): string => `#/components/schemas/${name}`
const nameOf = new Map<z.ZodType, string>(Object.entries(namedSchemas).map(([name, schema]) => [schema, name]))

/** Any request may get these. */
const commonErrors: readonly ErrorCode[] = [
  'invalid_request',
  'forbidden',
  'request_timeout',
  'headers_too_large',
  'internal',
  'unavailable',
]
const keyErrors: readonly ErrorCode[] = ['unauthorized', 'too_many_requests']
const bodyErrors: readonly ErrorCode[] = ['invalid_json', 'body_too_large', 'unsupported_media_type']

export function openApiDocument(routes: readonly Route[], version: string): OpenApi {
  const paths: OpenApi['paths'] = {}
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}')
    const operations = paths[path] ?? {}
    paths[path] = operations
    operations[route.method.toLowerCase()] = operation(route)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Baton',
      version,
      description:
        'Plans tasks into graphs of subtasks and has a fleet of agents run them. Unknown keys and parameters are refused. A path that exists answers other methods with 405 `method_not_allowed`; a path that does not, with 404 `not_found`.',
    },
    paths,
    components: {
      schemas: schemas(),
      securitySchemes: {
        key: {
          type: 'http',
          scheme: 'bearer',
          description:
            'An API key whose scope is, or comprises, the one that the operation names: `read` < `submit` < `operate` < `admin`; a `worker` key only where that is named. Not needed where the coordinator runs without one, on loopback.',
        },
      },
    },
    security: [{ key: [] }],
    'x-error-codes': errorCodes.map(code => ({ code, ...errorTable[code] })),
  }
}

function operation(route: Route): Operation {
  const needed = neededBy(route.id)
  const parameters = [...parametersIn('path', route.params), ...parametersIn('query', route.query)]
  return {
    operationId: route.id,
    summary: route.summary,
    // The scope is the role of the key, as OpenAPI 3.1 has it.
    security: needed === 'open' ? [] : [{ key: needed.worker ? [needed.level, 'worker'] : [needed.level] }],
    ...(parameters.length > 0 && { parameters }),
    ...(route.body && {
      requestBody: { required: route.body.absent === undefined, content: { 'application/json': { schema: reference(route.body.schema) } } },
    }),
    responses: { ...answers(route), ...problems(route) },
  }
}

function answers(route: Route): Operation['responses'] {
  return Object.fromEntries(
    Object.entries(route.answers).map(([status, { description, schema, mediaType }]) => {
      const content = {
        ...(schema && { 'application/json': { schema: reference(schema) } }),
        ...(mediaType && { [mediaType]: { schema: schema ? { type: 'string' } : {} } }),
      }
      return [status, { description, ...(Object.keys(content).length > 0 && { content }) }]
    }),
  )
}

/** Errors by status, each naming its codes. */
function problems(route: Route): Operation['responses'] {
  const codes = new Set([
    ...commonErrors,
    ...(neededBy(route.id) === 'open' ? [] : keyErrors),
    ...(route.body ? bodyErrors : []),
    ...route.errors,
  ])
  return Object.fromEntries(
    [...groupByStatus(codes)].map(([status, group]) => [
      String(status),
      {
        description: group.map(code => `\`${code}\`: ${errorTable[code].title}.`).join(' '),
        content: { 'application/problem+json': { schema: problemWith(group) } },
      },
    ]),
  )
}

function groupByStatus(codes: Iterable<ErrorCode>): Map<number, ErrorCode[]> {
  const groups = new Map<number, ErrorCode[]>()
  for (const code of codes) groups.set(errorTable[code].status, [...(groups.get(errorTable[code].status) ?? []), code])
  return groups
}

function problemWith(codes: readonly ErrorCode[]): JsonSchema {
  return { allOf: [{ $ref: schemaUri('Problem') }, { type: 'object', properties: { code: { enum: codes } } }] }
}

function parametersIn(place: 'path' | 'query', schema: z.ZodType | undefined): Record<string, unknown>[] {
  if (!(schema instanceof z.ZodObject)) return []
  const { properties = {}, required = [] } = jsonSchema(schema) as { properties?: Record<string, JsonSchema>; required?: string[] } // of an object
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    ...(description !== undefined && { description }),
    ...(name === 'metadata' ? metadataParameters : { schema: rest }),
  }))
}

/** `metadata.KEY=VALUE`: an exploded form writes each property as a parameter of its own. */
const metadataParameters = {
  style: 'form',
  explode: true,
  schema: { type: 'object', patternProperties: { '^metadata\\..+$': { type: 'string' } }, additionalProperties: false },
}

function reference(schema: z.ZodType): JsonSchema {
  const name = nameOf.get(schema)
  return name ? { $ref: schemaUri(name) } : jsonSchema(schema)
}

function jsonSchema(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return rest
}

function schemas(): Record<string, JsonSchema> {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(namedSchemas)) registry.add(schema, { id })
  const all = z.toJSONSchema(registry, { uri: schemaUri, io: 'input', unrepresentable: 'any' }).schemas
  return Object.fromEntries(Object.entries(all).map(([name, { $schema: _, $id: __, ...schema }]) => [name, schema]))
}
