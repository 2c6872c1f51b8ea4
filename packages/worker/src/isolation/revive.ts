/** Makes an error again of a failure that crossed a boundary, for code that catches errors. */
import { BatonError, type ErrorCode, errorTable, type Failure } from '@baton/shared'

export function revive(failure: Failure): Error {
  const cause = failure.cause && { cause: revive(failure.cause) }
  const known = failure.code in errorTable ? (failure.code as ErrorCode) : undefined // just looked up
  if (known && errorTable[known].retryable === failure.retryable) return new BatonError(known, failure.message, cause)
  return Object.assign(new Error(failure.message, cause), { code: failure.code, retryable: failure.retryable })
}
