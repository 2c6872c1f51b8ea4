/** The body of verbs that take nothing: absent, or an object without keys. */
import { z } from 'zod'
import type { BodyReader } from '../route.js'
import { validate } from '../validate.js'

const schema = z.strictObject({})

export const emptyBody: BodyReader<Record<string, never>> = {
  schema,
  read: value => validate(schema, value, 'this path takes no body, or {}'),
  absent: {},
}
