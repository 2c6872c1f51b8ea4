/** Errors as a terminal shows them: what is wrong, where, and no stack. */
import { BatonError } from '@baton/shared'
import { visible } from './text.js'

export function errorLines(error: unknown): string[] {
  if (!(error instanceof BatonError)) return [`error: ${visible(messageOf(error))}`]
  const fields = (error.fields ?? []).map(({ path, issue }) => (path ? `${path} ${issue}` : issue))
  // The message of a single problem often is the whole sentence already.
  const further = fields.filter(field => !error.message.includes(field))
  return [`error: ${visible(error.message)}`, ...further.map(field => `  ${visible(field)}`)]
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.map(messageOf).join('; ')
  return error.message || error.name
}
