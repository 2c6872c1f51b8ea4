/**
 * One run of an agent, from its grant to what came of it: resolves the input, checks it, runs, checks the output, makes
 * JSON of it. It happens once, where the agent lives: in the worker, or in an isolated child.
 */
import { BatonError, type Failure, jsonProblem, maxArtifactBytes, toFailure } from '@baton/shared'
import type { Agent } from './agent.js'
import { createContext, type Run } from './context.js'
import { resolveInput } from './input.js'
import { checkWith } from './standard-schema.js'

export type RunOutcome =
  /** `output` is JSON text. */
  { readonly kind: 'returned'; readonly output: string } | { readonly kind: 'failed'; readonly failure: Failure }

/** Where runs of one agent happen. */
export interface Runner {
  /** Never rejects. */
  run(run: Run): Promise<RunOutcome>
}

/** Runs the agent in this event loop. */
export async function runAgent(agent: Agent, run: Run): Promise<RunOutcome> {
  try {
    return { kind: 'returned', output: await outputOf(agent, run) }
  } catch (error) {
    return { kind: 'failed', failure: toFailure(run.signal.aborted ? run.signal.reason : error) }
  }
}

export const inlineRunner = (agent: Agent): Runner => ({ run: run => runAgent(agent, run) })

async function outputOf(agent: Agent, run: Run): Promise<string> {
  const context = createContext(run)
  let input = await resolveInput(run, context)
  if (agent.input) {
    const checked = await checkWith(agent.input, input)
    if (!checked.ok) throw new BatonError('input_invalid', `the input does not fit agent ${agent.name}: ${checked.problems.join('; ')}`)
    input = checked.value
  }
  let value = await agent.run(input, context)
  if (agent.output) {
    const checked = await checkWith(agent.output, value)
    if (!checked.ok)
      throw new BatonError('output_invalid', `what agent ${agent.name} returned does not fit its schema: ${checked.problems.join('; ')}`)
    value = checked.value
  }
  const problem = jsonProblem(value)
  if (problem) throw new BatonError('result_invalid', `the result ${problem}`)
  const output = JSON.stringify(value) ?? 'null'
  const bytes = Buffer.byteLength(output)
  if (bytes > maxArtifactBytes)
    throw new BatonError(
      'result_too_large',
      `the result has ${bytes} bytes; at most ${maxArtifactBytes} can be stored. Store it as artifacts, or elsewhere, and return references`,
    )
  return output
}
