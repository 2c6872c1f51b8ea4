/** Agents whose work is seen in Postgres alone: what is measured is when the fleet goes on. As `agents` for a fleet. */
import { type Agent, defineAgent } from '@baton/worker'

/** Ends only with its worker, or when it is told to. */
const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

/** Its first attempt never ends by itself; any other is done at once. */
const stuckOnce = defineAgent({
  name: 'stuck-once',
  concurrency: 50,
  run: (_, { attempt, signal }) => (attempt === 1 ? untilAborted(signal) : Promise.resolve(null)),
})

const brief = defineAgent({ name: 'brief', concurrency: 100, run: () => new Promise<null>(resolve => setTimeout(() => resolve(null), 20)) })

const endless = defineAgent({ name: 'endless', concurrency: 500, run: (_, { signal }) => untilAborted(signal) })

export const agents: Agent[] = [stuckOnce, brief, endless]
