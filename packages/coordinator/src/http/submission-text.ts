/** A submission that did not come over HTTP, read just as one that did. */
import { BatonError, type OrchestrateRequest } from '@baton/shared'
import { parseBody } from './body.js'
import { defaultLimits } from './limits.js'
import { checkOrchestrateRequest } from './orchestrate-request.js'
import { invalidRequest } from './validate.js'

/** Throws `invalid_json`, `body_too_large`, `invalid_request`. */
export function readSubmissionText(text: string): OrchestrateRequest {
  const bytes = Buffer.from(text)
  if (bytes.length > defaultLimits.submissionBytes)
    throw new BatonError('body_too_large', `the task is larger than the ${defaultLimits.submissionBytes} bytes that a submission may have`)
  const result = checkOrchestrateRequest(parseBody(bytes))
  if (result.ok) return result.value
  throw invalidRequest(result.issues, 'the task is not acceptable')
}
