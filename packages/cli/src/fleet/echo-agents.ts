/** What a fleet hosts when nothing else is configured: an agent to try things with. */
import { type Agent, defineAgent } from '@baton/worker'

interface EchoInput {
  /** How long it works, so that one can watch it, or kill its worker meanwhile; default 0. */
  readonly seconds?: number
}

const echo = defineAgent<EchoInput | null>({
  name: 'echo',
  description: 'Answers with what it was given, after `seconds`.',
  concurrency: 4,
  async run(input, context) {
    const seconds = Math.min(Math.max(0, Number(input?.seconds ?? 0) || 0), 3_600)
    for (let second = 0; second < seconds; second++) {
      context.progress({ second, of: seconds })
      await moment(Math.min(1, seconds - second) * 1_000, context.signal)
    }
    return { echo: input, attempt: context.attempt, pid: process.pid }
  },
})

export const agents: Agent[] = [echo]

function moment(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', giveUp)
      resolve()
    }, ms)
    if (signal.aborted) giveUp()
    else signal.addEventListener('abort', giveUp, { once: true })
  })
}
