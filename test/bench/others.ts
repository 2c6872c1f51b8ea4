/** What else the machine does while something is measured. */
import { cpuOfMachine, cpuSecondsOf } from './measure.js'

/** Cores that processes which are not of this bench use on average, from now until it is asked. */
export function othersSince(): () => number {
  const read = () => ({ at: performance.now(), seconds: cpuOfMachine() - cpuSecondsOf({ own: process.pid }).own })
  const before = read()
  return () => {
    const now = read()
    return Math.max(0, ((now.seconds - before.seconds) * 1_000) / (now.at - before.at))
  }
}
