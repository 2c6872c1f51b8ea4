/** What BullMQ stores of a job, for whoever puts one into a queue without BullMQ's own `Job`, which costs more than the script. */
import type { Ring } from './queue.js'

const jobOptions = { attempts: 1, removeOnComplete: true, removeOnFail: { count: 1_000 } }
/** Of jobs that go before all that wait. */
const aheadOptions = { ...jobOptions, lifo: true }

/** `timestamp`: when it was put in, in milliseconds since 1970. */
export function jobRecord({ id, delivery, ahead }: Pick<Ring, 'id' | 'delivery' | 'ahead'>, timestamp: number) {
  return {
    id,
    name: 'attempt',
    data: JSON.stringify(delivery),
    opts: ahead ? aheadOptions : jobOptions,
    timestamp,
    progress: 0,
    attemptsMade: 0,
    attemptsStarted: 0,
    stalledCounter: 0,
    failedReason: '',
    returnvalue: '',
  }
}
